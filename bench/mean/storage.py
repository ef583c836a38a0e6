"""How a mean model is kept: `unet/` in diffusers' layout, its heads, and `mean.json`."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from typing_extensions import TypedDict

from bench.data.dataset import Data
from bench.mean import conversion, oracle
from bench.mean.model import PREDICTION_TYPES, MeanModel, check_halvings
from bench.runtime import files, imports, weights
from bench.runtime.errors import BenchError
from bench.runtime.fields import Name
from bench.schedule import Schedule

# diffusers' names; if both files exist, the first is read.
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")


class Timesteps(TypedDict):
    """Which timesteps the network gets, see `sections.PublishedSection`."""

    first: Annotated[int, Field(ge=0, le=1)]
    rescaled: bool


class About(TypedDict, total=False):
    """What mean.json says: of the exact mean model `oracle`, of a network all but that.

    heads: their names. source, checkpoint, revision, format, sha256: where the network comes from.
    log: of its training. Other keys are ignored.
    """

    prediction_type: Literal[PREDICTION_TYPES]
    heads: list[Name]
    timesteps: Timesteps
    oracle: oracle.About
    source: str
    checkpoint: str
    revision: str
    format: str
    sha256: dict[str, str]
    log: list[dict[str, float]]


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
    about = _about(folder, remedy)
    if "prediction_type" not in about:
        remedy = remedy or files.remake(folder)
        raise BenchError(f"{folder / 'mean.json'}: prediction_type: missing; {remedy}")
    names = about.pop("heads", [])
    return {
        "unet": read_unet(folder / "unet", remedy),
        **about,
        "heads": {
            name: weights.read(folder / "heads" / f"{name}.safetensors", remedy) for name in names
        },
    }


def _about(folder, remedy=None):
    """The `About` of mean.json."""
    return files.read_json(folder / "mean.json", About, remedy)


def load(
    folder: Path, schedule: Schedule, data: Data, device: str | torch.device = "cpu"
) -> MeanModel | oracle.OracleModel:
    """The mean model saved in `folder` for `data`. BenchError if it is broken or does not fit."""
    about = _about(folder)
    if "oracle" in about:
        return oracle.load(about["oracle"], data, schedule)
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

    The weights are safetensors if they exist, else .bin. BenchError that ends in `remedy` unless
    they are the network's, all of them, and finite floating point numbers.
    """
    UNet2DModel, remedy = imports.unet_2d(), remedy or files.remake(folder)
    safe = (folder / WEIGHTS[0]).exists()  # a .bin is read as tensors only, too
    path = folder / WEIGHTS[0 if safe else 1]
    with files.reading(folder, remedy):
        # diffusers takes a text in place of a mapping for the name of a network on its hub.
        files.read_json(folder / "config.json", dict[str, Any], remedy)
        files.check_readable(str(path), path, remedy)
        unet, report = UNet2DModel.from_pretrained(
            folder,
            use_safetensors=safe,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
        )
        # diffusers leaves a layer whose tensor is missing as it was drawn.
        weights.check_keys(report["missing_keys"], report["unexpected_keys"], path, remedy)
        if safe:
            weights.read(path, remedy)
        else:
            weights.check(conversion.state_dict(path, remedy), path, remedy)
        if "_attention_heads" in unet.config:
            conversion.set_heads(unet, unet.config["_attention_heads"])
        return unet


def check_channels(unet: torch.nn.Module, shape: tuple[int, ...], folder: str | Path) -> None:
    """BenchError unless the network maps images of `shape`, (channels, height, width), to such."""
    check_halvings(unet, shape, folder)
    inputs, outputs = unet.config.in_channels, unet.config.out_channels
    if (inputs, outputs) != (shape[0], shape[0]):
        raise BenchError(
            f"{folder}: the network has {inputs} input and {outputs} output channels, "
            f"expected {shape[0]} of each for this data set"
        )


def note_size(unet: torch.nn.Module, shape: tuple[int, ...], folder: str | Path) -> None:
    """A line on stderr if the config says that the network was made for images of another size.

    It is no error, as a U-Net runs at other sizes. shape: (channels, height, width).
    """
    size = unet.config.sample_size
    height, width = (size, size) if size is None or isinstance(size, int) else size
    if size is not None and (height, width) != tuple(shape[1:]):
        print(
            f"{folder}: the network was made for images of {height}×{width} (its sample_size), "
            f"and the data have {shape[1]}×{shape[2]}",
            file=sys.stderr,
        )
