"""How a mean model is kept: `unet/` in diffusers' layout, its heads, and `mean.json`."""

from pathlib import Path

from bench.mean import conversion, oracle
from bench.mean.model import MeanModel
from bench.runtime import files, imports
from bench.runtime.errors import BenchError

WEIGHTS = (
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
)  # diffusers' names, the first preferred


def save(unet, prediction_type, folder, heads=None, **about):
    """Writes the network and what is known of it to `folder`.

    heads: see `MeanModel`; each becomes `heads/<name>.safetensors`. about: JSON values, such as the
    training log.
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


def read(folder, remedy=None):
    """What `save` was given for `folder`, as a dict of its arguments.

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


def load(folder, schedule, data, device="cpu"):
    """The mean model saved in `folder` for `data`. BenchError if it is broken or does not fit."""
    about = files.read_json(folder / "mean.json")
    if "oracle" in about:
        with files.reading(folder / "mean.json"):
            return oracle.load(about, data, schedule)
    found = read(folder)
    check_channels(found["unet"], data.shape, folder)
    told = found.get("timesteps", {})
    scale = 1000 / schedule.N if told.get("rescaled") else 1
    return MeanModel(
        found["unet"],
        found["prediction_type"],
        schedule,
        data.shape,
        told.get("first", 0),
        scale,
        found["heads"],
        device,
    )


def read_unet(folder, remedy=None):
    """A UNet2DModel from a folder in diffusers' layout: config.json, and weights.

    The weights are safetensors if they exist, else .bin.
    """
    UNet2DModel = imports.unet_2d()
    with files.reading(folder, remedy):
        safe = (Path(folder) / WEIGHTS[0]).exists()  # a .bin is read as tensors only, too
        unet = UNet2DModel.from_pretrained(
            folder, use_safetensors=safe, local_files_only=True, low_cpu_mem_usage=False
        )
        if "_attention_heads" in unet.config:
            conversion.set_heads(unet, unet.config["_attention_heads"])
        return unet


def check_channels(unet, shape, folder):
    """BenchError unless the network maps images of `shape` to images of `shape`."""
    found = (unet.config.in_channels, unet.config.out_channels)
    if found != (shape[0], shape[0]):
        raise BenchError(
            f"{folder}: the network has {found[0]} input and {found[1]} output channels, "
            f"expected {shape[0]} of each for this data set"
        )
