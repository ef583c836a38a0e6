"""How a mean model is kept: `unet/` in diffusers' layout, its heads, and `mean.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bench.data.dataset import Data
from bench.mean import conversion, oracle
from bench.mean.model import MeanModel
from bench.runtime import files, imports
from bench.runtime.errors import BenchError
from bench.schedule import Schedule

# diffusers' names; if both files exist, the first is read.
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")


def save(
    unet: torch.nn.Module,
    prediction_type: str,
    folder: str | Path,
    heads: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
    **about: Any,
) -> None:
    """Writes the network, a UNet2DModel, its heads and mean.json to `folder`.

    heads: see `MeanModel`; each becomes `heads/<name>.safetensors`. about: JSON values for
    mean.json, such as the training log.
    """
    with files.writing(folder) as partial:
        partial.mkdir(parents=True)
        unet.save_pretrained(partial / "unet", safe_serialization=True)
        for name, state in (heads or {}).items():
            files.write_safetensors(partial / "heads" / f"{name}.safetensors", state)
        files.write_json(
            partial / "mean.json",
            {"prediction_type": prediction_type, "heads": sorted(heads or {}), **about},
        )


def read(folder: Path, remedy: str | None = None) -> dict[str, Any]:
    """The arguments with which `save` wrote `folder`, by name.

    Raises BenchError, which ends in `remedy`, if the folder is broken.
    """
    about = files.read_json(folder / "mean.json", remedy)
    names = about.pop("heads", [])
    return {
        "unet": read_unet(folder / "unet", remedy),
        **about,
        "heads": {
            name: files.read_safetensors(folder / "heads" / f"{name}.safetensors", remedy)
            for name in names
        },
    }


def load(
    folder: Path, schedule: Schedule, data: Data, device: str | torch.device = "cpu"
) -> MeanModel | oracle.OracleModel:
    """The mean model saved in `folder` for `data`. BenchError if it is broken or does not fit."""
    about = files.read_json(folder / "mean.json")
    if "oracle" in about:
        with files.reading(folder / "mean.json"):
            return oracle.load(about, data, schedule)
    saved = read(folder)
    check_channels(saved["unet"], data.shape, folder)
    timesteps = saved.get("timesteps", {})
    return MeanModel(
        saved["unet"],
        saved["prediction_type"],
        schedule,
        data.shape,
        first_timestep=timesteps.get("first", 0),
        scale=1000 / schedule.N if timesteps.get("rescaled") else 1,
        heads=saved["heads"],
        device=device,
    )


def read_unet(folder: Path, remedy: str | None = None) -> torch.nn.Module:
    """A UNet2DModel from a folder in diffusers' layout: config.json, and weights.

    The weights are safetensors if they exist, else .bin.
    """
    UNet2DModel = imports.unet_2d()
    with files.reading(folder, remedy):
        safe = (folder / WEIGHTS[0]).exists()  # a .bin is read as tensors only, too
        unet = UNet2DModel.from_pretrained(
            folder, use_safetensors=safe, local_files_only=True, low_cpu_mem_usage=False
        )
        if "_attention_heads" in unet.config:
            conversion.set_heads(unet, unet.config["_attention_heads"])
        return unet


def check_channels(unet: torch.nn.Module, shape: tuple[int, ...], folder: str | Path) -> None:
    """BenchError unless the network maps images of `shape`, (channels, height, width), to such."""
    inputs, outputs = unet.config.in_channels, unet.config.out_channels
    if (inputs, outputs) != (shape[0], shape[0]):
        raise BenchError(
            f"{folder}: the network has {inputs} input and {outputs} output channels, "
            f"expected {shape[0]} of each for this data set"
        )
