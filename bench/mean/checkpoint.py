"""Takes a mean model from a folder in diffusers' layout, or from one that this project wrote.

The folder is a UNet2DModel, or a pipeline with `unet/` and `scheduler/`, or what `bench import` and
the mean stage write. It may be on the Hugging Face hub: `owner/name`, or `owner/name@revision` for
one that stays the same. Then the configs and weights are downloaded to the hub's own cache, as
safetensors if they exist.
"""

import re
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
from typing_extensions import TypedDict

from bench.mean import storage
from bench.mean.model import PREDICTION_TYPES
from bench.runtime import files
from bench.runtime.errors import BenchError, reason

# diffusers' names of the schedules, where `linear` also needs its end points
SCHEDULES = {"linear": "linear", "squaredcos_cap_v2": "cosine"}
CONFIGS = (
    "config.json",
    "scheduler_config.json",
    "unet/config.json",
    "scheduler/scheduler_config.json",
)
SAME_BETA = 1e-5  # the relative difference that rounding to float32 and to a decimal explains
HUB_ID = r"[\w.-]+/[\w.-]+(@[\w./-]+)?"
EXPECTED = (
    "expected one in diffusers' layout (config.json and diffusion_pytorch_model.safetensors, or "
    "unet/ with them), one that bench import made, or the id of one on the Hugging Face hub, "
    "owner/name"
)


class Scheduler(TypedDict, total=False):
    """What the config of a diffusers scheduler says of the training; other keys are ignored."""

    beta_schedule: str
    num_train_timesteps: int
    beta_start: float
    beta_end: float
    trained_betas: list[float] | None
    rescale_betas_zero_snr: bool
    prediction_type: Literal[PREDICTION_TYPES]


def read(path: str | Path, schedule_section: Any) -> dict[str, Any]:
    """What `bench.mean.storage.save` keeps of the checkpoint at `path`, as a dict of its arguments.

    schedule_section: a `sections.ScheduleSection`.

    Raises BenchError if there is no such folder, if it holds no UNet2DModel, or if its scheduler's
    config disagrees with the setting's schedule.
    """
    folder, about = Path(path), {"source": str(path)}
    if not folder.is_dir():
        folder = _from_hub(str(path))
        about["revision"] = folder.name
    if (folder / "mean.json").exists():
        return {
            **storage.read(folder, f"mean.checkpoint: {path}: {EXPECTED}"),
            "checkpoint": str(path),
        }
    weights = folder / "unet" if (folder / "unet").is_dir() else folder
    unet = storage.read_unet(
        weights, "expected config.json and diffusion_pytorch_model.safetensors of a UNet2DModel"
    )
    return {
        "unet": unet,
        "prediction_type": _prediction_type(folder, schedule_section),
        "heads": {},
        "log": [],
        **about,
    }


def _from_hub(path):
    """The folder in the hub's cache with a snapshot of the repository; its name is the revision."""
    if not re.fullmatch(HUB_ID, path):
        raise BenchError(f"mean.checkpoint: {path}: no such folder; {EXPECTED}")
    from huggingface_hub import snapshot_download

    name, _, revision = path.partition("@")
    try:
        for weights in storage.WEIGHTS:
            patterns = [*CONFIGS, weights, f"unet/{weights}"]
            folder = Path(
                snapshot_download(name, revision=revision or None, allow_patterns=patterns)
            )
            if any((folder / place / weights).exists() for place in (".", "unet")):
                break
    except Exception as error:  # of huggingface_hub, HTTP or the disk: they share no other class
        raise BenchError(
            f"mean.checkpoint: {path}: no such folder, and not found on the Hugging Face hub "
            f"({reason(error)}); {EXPECTED}"
        ) from error
    return folder


def _prediction_type(folder, section):
    """From the scheduler's config, which must fit the setting; epsilon if there is none."""
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.exists():
        path = folder / "scheduler_config.json"
    if not path.exists():
        print(
            f"{folder}: has no scheduler_config.json; taken as a prediction of ε", file=sys.stderr
        )
        return "epsilon"
    config = files.read_json(path, Scheduler, "expected the JSON of a diffusers scheduler")
    expected = f"expected {section.name} with N = {section.N}, the schedule of the setting"
    if config.get("rescale_betas_zero_snr"):
        raise BenchError(f"{path}: rescale_betas_zero_snr: found true; {expected}")
    if config.get("trained_betas") is not None:
        _check_betas(path, config["trained_betas"], section.make().beta[1:], expected)
        return config.get("prediction_type", "epsilon")
    name = SCHEDULES.get(config.get("beta_schedule"), config.get("beta_schedule"))
    N = config.get("num_train_timesteps", section.N)
    ends = (config.get("beta_start", 1e-4), config.get("beta_end", 0.02))
    fits = ends == (1e-4 * 1000 / section.N, 0.02 * 1000 / section.N)
    if (name, N) != (section.name, section.N) or (name == "linear" and not fits):
        raise BenchError(
            f"{path}: trained on schedule {name} with N = {N} and β in {list(ends)}, {expected}"
        )
    return config.get("prediction_type", "epsilon")


def _check_betas(path, found, betas, expected):
    """BenchError unless `trained_betas`, which stand in for diffusers' schedule, are ours."""
    if len(found) != len(betas):
        raise BenchError(f"{path}: trained_betas: found {len(found)} of them; {expected}")
    off = np.abs(np.array(found) / betas - 1)
    if not off.max() <= SAME_BETA:
        n = int(np.argmax(~(off <= SAME_BETA)))
        raise BenchError(
            f"{path}: trained_betas: found {found[n]:g} for the step {n + 1}, "
            f"whose β is {betas[n]:.6g}; {expected}"
        )
