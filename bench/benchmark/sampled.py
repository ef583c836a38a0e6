"""Samples and their scores: passes made of those needed, and the share of time inside the networks."""

from pathlib import Path

from bench.benchmark import Figure
from bench.plan import passes
from bench.runtime import files, paths


def figures(experiment, name, jobs):
    """The figures of the stages samples, reference and fidelity; jobs: see `whole.jobs`."""
    setting, found = experiment.setting(name), []
    for process, _ in setting.processes.items():
        mine = [job for job in jobs if job["stage"] == "samples" and job["process"] == process]
        cells = setting.cells("samples", process)
        needed = setting.samples.count * passes.steps_taken(setting.schedule.N, cells)
        images, inside, taken, started = (
            sum(job[key] for job in mine) for key in ("images", "network", "seconds", "start_up")
        )
        found += [
            Figure(
                "samples",
                f"{process}: passes made / needed",
                f"{images / needed:.2f}",
                "1.00",
                images == needed,
                f"{len(cells)} cells of {setting.samples.count} images, K passes each",
            ),
            Figure(
                "samples",
                f"{process}: time inside the network / wall time",
                f"{inside / taken:.2f}",
                "≥ 0.95",
                inside / taken >= 0.95,
                f"without the start-up of its {len(mine)} jobs, {started:.1f} s, "
                f"{inside / (taken - started):.2f}; the rest draws noise, steps and writes images",
            ),
        ]
    return [*found, *_scores(setting, name, jobs)]


def _scores(setting, name, jobs):
    """Passes of the extractor: the reference once, every sample once."""
    size = files.read_json(paths.Setting(name).data / "data.json")
    test = min(setting.samples.count, size["test"])
    needed = {
        "reference": (setting.fidelity.reference_images or size["train"]) + test,
        "fidelity": setting.samples.count
        * sum(len(setting.cells("samples", process)) for process, _ in setting.processes.items()),
    }
    found = []
    for stage, count in needed.items():
        images = sum(job["images"] for job in jobs if job["stage"] == stage)
        what = (
            "once for every process and variant"
            if stage == "reference"
            else "from the uint8 shards, without a picture file"
        )
        found.append(
            Figure(
                "scores",
                f"{stage}: passes made / needed",
                f"{images / count:.2f}",
                "1.00",
                images == count,
                f"{count} images, {what}",
            )
        )
    shards = list((Path("results") / name / "samples").rglob("*.npz"))
    found.append(
        Figure(
            "scores",
            "disk of the samples",
            f"{sum(path.stat().st_size for path in shards) / 1e6:.1f} MB",
            limit=f"{len(shards)} files of uint8 images",
        )
    )
    return found
