"""The coordinates as features, for vectors: FID is the Fréchet distance of fitted Gaussians."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from bench.data.dataset import Data
from bench.runtime import files
from bench.runtime.errors import BenchError
from bench.scores.extractors import About, register


def prepare(
    data: Data,
    section: Any,
    names: tuple,
    folder: Path,
    checkpoint: Path | None,
    on_loss: Callable[[int, dict], object] | None = None,
) -> None:
    """Writes extractor.json to `folder`. Nothing is trained, so only `data` matters.

    BenchError for images: the distance of their pixels says nothing of how they look.
    """
    if data.levels is not None:
        raise BenchError(
            f"extractor.name: coordinates needs vectors; data set {data.name!r} has images; "
            "expected `extractor: {name: inception}`, or classifier if there are labels"
        )
    with files.writing(folder) as partial:
        partial.mkdir(parents=True)
        files.write_json(partial / "extractor.json", {"name": "coordinates", "dim": data.dim})


def load(folder: Path) -> nn.Module:
    """The torch-fidelity extractor that flattens its input."""
    files.read_json(folder / "extractor.json", About)
    return register(
        "bench-coordinates",
        ("coordinates",),
        nn.Flatten(),
        lambda network, images: (network(images),),
    )
