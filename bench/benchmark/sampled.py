"""Samples and their scores: passes made of those needed, and the share of time inside networks."""

import math
from pathlib import Path

from bench.benchmark import Figure, network_share, passes_made, total
from bench.data import dataset
from bench.experiment.resolved import Experiment
from bench.plan import passes
from bench.runtime import paths


def figures(experiment: Experiment, name: str, jobs: list[dict]) -> list[Figure]:
    """The figures of the stages samples, reference and fidelity; jobs: see `whole.read_jobs`."""
    setting, count = experiment.setting(name), experiment.setting(name).samples.count
    size = dataset.read_about(paths.Setting(name).data)
    result, sampled, dim = [], 0, math.prod(size["shape"])
    for process, _ in setting.processes.items():
        mine = [job for job in jobs if job["stage"] == "samples" and job["process"] == process]
        cells, title = setting.cells("samples", process), f"{process}: "
        sampled += count * len(cells)
        needed = count * passes.sample_evaluations(setting, process, dim)
        limit = f"{len(cells)} cells of {count} images, K passes each"
        result.append(passes_made("samples", total(mine, "images"), needed, limit, title))
        limit = "the rest draws noise, steps and writes images"
        result.append(network_share("samples", mine, limit, title, least=0.95))
    reference = setting.fidelity.reference_images or size["train"]
    needed = {"reference": reference + min(count, size["test"]), "fidelity": sampled}
    for stage, images in needed.items():
        made = total([job for job in jobs if job["stage"] == stage], "images")
        result.append(passes_made("scores", made, images, f"{images} images", f"{stage}: "))
    shards = list((Path("results") / name / "samples").rglob("*.npz"))
    disk = f"{sum(path.stat().st_size for path in shards) / 1e6:.1f} MB"
    limit = f"{len(shards)} files of uint8 images"
    return [*result, Figure("scores", "disk of the samples", disk, limit=limit)]
