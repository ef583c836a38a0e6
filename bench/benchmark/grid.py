"""The bound of a whole grid from one pass per (image, step), beside the same grid cell by cell, as published code has it."""

import concurrent.futures
import itertools
import multiprocessing
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from bench import bound, covariance, denoiser, heads, process, schedule, trajectory
from bench.benchmark import Figure, quiet
from bench.data.dataset import Data
from bench.mean.model import MeanModel
from bench.mean.train import make_unet
from bench.runtime import files, paths, stopwatch
from bench.stages import inputs

VARIANTS = 8
IMAGES = 16  # fewer than in the table: with few images the harness's own arithmetic weighs more, so the ratio is a low one
UNET = {
    "block_out_channels": [16, 32],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D"],
    "norm_num_groups": 8,
    "add_attention": False,
}
CASES = {
    "N = 500, K = 10, 1 variant": (500, (10,), 1),
    "N = 4000": (4000, (10,), 1),
    "14 K": (500, tuple(range(10, 150, 10)), 1),
    "8 variants": (500, (10,), 8),
}


def figures(experiment, name, jobs):
    """The bound's figures; jobs: see `whole.jobs`."""
    setting, place = experiment.setting(name), paths.Setting(name)
    steps = inputs.read_trajectories(
        place, setting.kinds("bound", "ddpm", setting.variants("ddpm"))
    )
    visited = {
        t
        for _, kind, K in setting.cells("bound", "ddpm")
        for t in itertools.chain(
            *(found[str(K)] for found in steps[kind].values() if str(K) in found)
        )
    }
    job = next(job for job in jobs if job["stage"] == "bound")
    needed = len(visited) * setting.bound.images
    ran = job["seconds"] - job["start_up"]
    return [
        Figure(
            "bound",
            "passes made / needed",
            f"{job['images'] / needed:.2f}",
            "1.00",
            job["images"] == needed,
            f"{len(visited)} steps, {setting.bound.images} images, {len(setting.cells('bound', 'ddpm'))} cells",
        ),
        Figure(
            "bound",
            "time inside the network / wall time",
            f"{job['network'] / job['seconds']:.2f}",
            "≥ 0.90",
            job["network"] / job["seconds"] >= 0.9,
            f"without the start-up {job['network'] / ran:.2f}; float64 arithmetic of each cell, more of it for variances that "
            "depend on x_t",
        ),
        _faster(experiment, name),
        _memory(),
    ]


def _faster(experiment, name):
    """The wall time of the grid against that of its cells one by one."""
    setting, place = experiment.setting(name), paths.Setting(name)
    variants = setting.variants("ddpm")[:VARIANTS]
    with torch.inference_mode():
        made = {
            variant: inputs.load_denoiser(experiment, setting, place, [variant])
            for variant in variants
        }
        whole = inputs.load_denoiser(experiment, setting, place, variants)
    forward = process.make("ddpm", whole.schedule)
    cells = [
        bound.Cell("even", variant, steps, tuple(trajectory.even(whole.schedule.N, steps)))
        for variant in variants
        for steps in setting.bound.K
    ]

    def seconds(model, some):
        begun = time.perf_counter()
        with quiet(), stopwatch.fresh() as account:
            values = bound.evaluate(model, forward, some, IMAGES, (experiment.seed, name))
        return time.perf_counter() - begun, account.images, values

    first, passes, together = seconds(whole, cells)
    single = [seconds(made[cell.variant], [cell]) for cell in cells]
    again, *_ = seconds(whole, cells)
    np.testing.assert_allclose(
        together, np.concatenate([values for *_, values in single]), rtol=1e-9
    )
    ratio = sum(taken for taken, *_ in single) / ((first + again) / 2)
    fewer = sum(images for _, images, _ in single) / passes
    Ks = ", ".join(map(str, setting.bound.K))
    return Figure(
        "bound",
        f"times faster than cell by cell, {len(variants)} variants, K = {Ks}",
        f"{ratio:.1f}",
        "≥ 10",
        ratio >= 10,
        f"{fewer:.1f} times fewer passes; {IMAGES} images, the same numbers",
    )


def _memory():
    """How much more memory the bound takes with a larger N, with more K and more variants."""
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        1, mp_context=context, max_tasks_per_child=1
    ) as pool:
        found = {title: pool.submit(peak, *case).result() for title, case in CASES.items()}
    (base, least), *others = found.items()
    said = ", ".join(f"{title}: {value - least:+.0f} MB" for title, value in others)
    grown = max(value - least for _, value in others)
    return Figure(
        "bound",
        "memory it adds",
        said,
        "not at all",
        grown < 0.05 * least,
        f"against {least:.0f} MB of a process with {base}; 3×16×16, 64 images; the moments are mapped, a row a step",
    )


def peak(N, Ks, variants):
    """Memory in MB, but for what is mapped from files, of a process with a bound in it, at its peak."""
    torch.set_num_threads(1)
    random, shape = np.random.default_rng(0), (3, 16, 16)
    levels = random.integers(0, 256, size=(64, *shape), dtype=np.uint8)
    data = Data("random", levels, levels, 256, None, None, "0" * 16)
    made = schedule.make("linear", N)
    model = MeanModel(make_unet(UNET, shape), "epsilon", made, shape)
    names = [name for name, variant in covariance.VARIANTS.items() if "ddpm" in variant.processes][
        -variants:
    ]
    trained = heads.make(
        dict.fromkeys([name for name in names if covariance.get(name).head], "simple"), model
    )
    cells = [
        bound.Cell("even", name, steps, tuple(trajectory.even(N, steps)))
        for name in names
        for steps in Ks
    ]
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "moments.npz"
        files.write_npz(
            path,
            **{
                name: random.uniform(0.2, 0.8, size=(N + 1, data.dim))
                for name in ("eps_sq", "error_sq", "total_variance", "x0_error_sq")
            },
        )
        bound.evaluate(
            denoiser.Denoiser(model, dict(trained), files.map_npz(path), data, made),
            process.make("ddpm", made),
            cells[:1],
            64,
            (0, "memory"),
        )  # what a first pass prepares is not counted
        most, stop = [anonymous()], threading.Event()

        def watch():
            while not stop.wait(0.02):
                most[0] = max(most[0], anonymous())

        watcher = threading.Thread(target=watch)
        watcher.start()
        bound.evaluate(
            denoiser.Denoiser(model, dict(trained), files.map_npz(path), data, made),
            process.make("ddpm", made),
            cells,
            64,
            (0, "memory"),
        )
        stop.set()
        watcher.join()
    return most[0]


def anonymous():
    """Memory of this process in MB that is no file's."""
    status = Path("/proc/self/status").read_text()
    return (
        int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")))
        / 1024
    )
