"""The bound of a whole grid from one pass per (image, step), beside the same grid cell by cell."""

import concurrent.futures
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from bench import bound, covariance, denoiser, heads, process, schedule, trajectory
from bench.benchmark import Figure, network_share, passes_made, quiet
from bench.data.dataset import Data
from bench.experiment.resolved import Experiment
from bench.mean.model import MeanModel
from bench.mean.train import make_unet
from bench.runtime import files, paths, stopwatch
from bench.stages import inputs, models

VARIANTS = 8
IMAGES = 16  # few: the harness's own arithmetic then weighs more, so the ratio is a low one
UNET = {
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
    "norm_num_groups": 8,
    "add_attention": False,
}
CASES = {  # N, K, number of variants
    "N = 500, K = 10, 1 variant": (500, (10,), 1),
    "N = 4000": (4000, (10,), 1),
    "14 K": (500, tuple(range(10, 150, 10)), 1),
    "8 variants": (500, (10,), 8),
}


def figures(experiment: Experiment, name: str, jobs: list[dict]) -> list[Figure]:
    """The bound's figures; jobs: see `whole.read_jobs`."""
    setting, place = experiment.setting(name), paths.Setting(name)
    kinds = setting.bound_kinds()
    steps, cells = inputs.read_trajectories(place, kinds), setting.bound_cells()
    visited = set()
    for _, kind, K in cells:
        for of_variant in steps[kind].values():
            visited.update(of_variant.get(str(K), ()))
    mine = [job for job in jobs if job["stage"] == "bound"]
    images = setting.bound.images
    limit = f"{len(visited)} steps, {images} images, {len(cells)} cells"
    arithmetic = "float64 arithmetic of each cell, more for variances that depend on x_t"
    return [
        passes_made("bound", mine[0]["images"], len(visited) * images, limit),
        network_share("bound", mine, arithmetic, least=0.9),
        _faster(experiment, name),
        _memory(),
    ]


def _faster(experiment, name):
    """The wall time of the grid against that of its cells one by one."""
    setting, place = experiment.setting(name), paths.Setting(name)
    variants, Ks = setting.bound_variants[:VARIANTS], setting.bound.K
    with torch.inference_mode():
        whole = models.load_denoiser(experiment, setting, place, variants)
        alone = {
            variant: models.load_denoiser(experiment, setting, place, [variant])
            for variant in variants
        }
    forward = process.make("ddpm", whole.schedule)
    cells = _cells(variants, Ks, whole.schedule.N)

    def evaluate(model, some):
        """(seconds, passes, values)"""
        begun = time.perf_counter()
        with quiet(), stopwatch.fresh() as account:
            values = bound.evaluate(model, forward, some, IMAGES, (experiment.seed, name)).total
        return time.perf_counter() - begun, account.images, values

    first, passes, together = evaluate(whole, cells)
    single = [evaluate(alone[cell.variant], [cell]) for cell in cells]
    again, *_ = evaluate(whole, cells)
    one_by_one = np.concatenate([values for *_, values in single])
    np.testing.assert_allclose(together, one_by_one, rtol=1e-9)
    ratio = sum(seconds for seconds, *_ in single) / ((first + again) / 2)
    fewer = sum(images for _, images, _ in single) / passes
    return Figure(
        "bound",
        f"times faster than cell by cell, {len(variants)} variants, K = {', '.join(map(str, Ks))}",
        f"{ratio:.1f}",
        "≥ 10",
        ratio >= 10,
        f"{fewer:.1f} times fewer passes; {IMAGES} images, the same numbers",
    )


def _cells(variants, Ks, N):
    return [
        bound.Cell("even", variant, K, tuple(trajectory.even(N, K)))
        for variant in variants
        for K in Ks
    ]


def _memory():
    """How much more memory the bound takes with a larger N, with more K and more variants."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        1, mp_context=context, max_tasks_per_child=1
    ) as pool:
        peaks = {title: pool.submit(peak, *case).result() for title, case in CASES.items()}
    (base, least), *others = peaks.items()
    most = max(value for _, value in others) - least
    return Figure(
        "bound",
        "memory it adds",
        ", ".join(f"{title}: {value - least:+.0f} MB" for title, value in others),
        "not at all",
        most < 0.05 * least,
        f"against {least:.0f} MB with {base}; 3×16×16, 64 images; moments are mapped, a row a step",
    )


def peak(N: int, Ks: Iterable[int], variants: int) -> float:
    """Memory in MB, without what is mapped from files, of a process with a bound at its peak."""
    torch.set_num_threads(1)
    random, shape = np.random.default_rng(0), (3, 16, 16)
    levels = random.integers(0, 256, size=(64, *shape), dtype=np.uint8)
    data = Data("random", levels, levels, 256, None, None, "0" * 16)
    chain = schedule.make("linear", N)
    model = MeanModel(make_unet(UNET, shape), "epsilon", chain, shape)
    ddpm = [name for name, variant in covariance.VARIANTS.items() if "ddpm" in variant.processes]
    names = ddpm[-variants:]
    wanted = [name for name in names if covariance.get(name).head]
    trained = dict(heads.make(dict.fromkeys(wanted, "simple"), model))
    cells, forward = _cells(names, Ks, N), process.make("ddpm", chain)
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "moments"
        quantities = sorted({moment for name in names for moment in covariance.get(name).moments})
        arrays = {}
        for quantity in quantities:
            size = N + 1 if quantity.endswith("_mean") else (N + 1, data.dim)
            arrays[quantity] = random.uniform(0.2, 0.8, size=size)
        files.write_arrays(path, arrays)

        def evaluate(some):
            known = denoiser.Denoiser(
                model, trained, files.read_arrays(path, quantities), data, chain
            )
            bound.evaluate(known, forward, some, 64, (0, "memory"))

        evaluate(cells[:1])  # not counted, as it prepares what later passes reuse
        most, stop = [anonymous()], threading.Event()

        def watch():
            while not stop.wait(0.02):
                most[0] = max(most[0], anonymous())

        watcher = threading.Thread(target=watch)
        watcher.start()
        evaluate(cells)
        stop.set()
        watcher.join()
    return most[0]


def anonymous() -> float:
    """Memory of this process in MB that is no file's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status: has no RssAnon; expected Linux 4.5 or newer")
