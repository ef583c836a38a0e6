"""A row of a finished run as a pipeline of diffusers, to take home."""

from pathlib import Path

from bench import process
from bench.experiment.resolved import Experiment, Setting
from bench.process import PROCESSES
from bench.runtime import files, paths
from bench.runtime.errors import BenchError, unknown
from bench.stages.inputs import check_made_with
from bench.stages.models import load_denoiser
from bench.stages.trajectories import choose_steps


def export_pipeline(
    experiment: Experiment,
    name: str,
    variant: str,
    process_name: str,
    trajectory: str,
    K: int,
    folder: Path,
) -> None:
    """Writes a DDPMPipeline of diffusers (`bench.diffusers`) to a new folder.

    It samples as the cell of the setting called `name` does, with the network in float32.
    BenchError unless the process has the row, and the files that the row reads are there and of
    this configuration.
    """
    setting, place = experiment.setting(name), paths.Setting(name)
    _check_row(setting, name, process_name, variant)
    check_made_with(experiment, name, ["data", "schedule", "mean", "heads", "moments"])
    steps = choose_steps(setting, place, process_name, variant, trajectory, K)
    denoiser = load_denoiser(experiment, setting, place, [variant])
    forward = process.make(process_name, denoiser.schedule, setting.processes.eta(process_name))
    from bench import diffusers  # imports the pipelines of diffusers, which takes seconds

    clip_levels = setting.clip(process_name, variant)
    pipeline = diffusers.make_pipeline(denoiser, forward, variant, steps, clip_levels)
    with files.writing(folder) as partial:
        pipeline.save_pretrained(partial)


def _check_row(setting: Setting, name: str, process_name: str, variant: str) -> None:
    """BenchError unless a process of the setting has the row."""
    if process_name not in PROCESSES:
        raise unknown("process", process_name, PROCESSES)
    rows = setting.variants(process_name)
    if variant not in rows:
        raise BenchError(
            f"variant {variant!r}: no row of {process_name} in {name}; expected one of: "
            f"{', '.join(rows) or 'none'}; to add it, name it in processes.{process_name}.variants"
        )
