"""Takes a mean model from a folder in diffusers' layout: a UNet2DModel, or a pipeline with `unet/` and `scheduler/`."""

import json
from pathlib import Path

from bench import files, mean
from bench.errors import BenchError

# diffusers' names of the schedules, where `linear` also needs its end points
SCHEDULES = {"linear": "linear", "squaredcos_cap_v2": "cosine"}


def read(path, schedule_section, shape):
    """(network, prediction type) of the checkpoint at `path`.

    Raises BenchError where the folder holds no UNet2DModel, its channels do not fit `shape`, or its
    scheduler's config disagrees with the setting's schedule.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise BenchError(f"mean.checkpoint: {folder}: no such folder; expected one in diffusers' layout "
                         "(config.json and diffusion_pytorch_model.safetensors, or unet/ with them)")
    weights = folder / "unet" if (folder / "unet").is_dir() else folder
    unet = mean.read_unet(weights, "expected config.json and diffusion_pytorch_model.safetensors of a UNet2DModel")
    mean.check_channels(unet, shape, weights)
    return unet, _prediction_type(folder, schedule_section)


def _prediction_type(folder, section):
    """From the scheduler's config, which is checked against the setting; epsilon where there is none."""
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.exists():
        path = folder / "scheduler_config.json"
    if not path.exists():
        return "epsilon"
    with files.reading(path, "expected the JSON of a diffusers scheduler"):
        found = json.loads(path.read_text())
    name = SCHEDULES.get(found.get("beta_schedule"), found.get("beta_schedule"))
    N = found.get("num_train_timesteps", section.N)
    ends = (found.get("beta_start", 1e-4), found.get("beta_end", 0.02))
    expected = (1e-4 * 1000 / section.N, 0.02 * 1000 / section.N)
    if (name, N) != (section.name, section.N) or (name == "linear" and ends != expected):
        raise BenchError(f"{path}: trained on schedule {name} with N = {N} and β in {list(ends)}, "
                         f"expected {section.name} with N = {section.N}, as the setting has it")
    return found.get("prediction_type", "epsilon")
