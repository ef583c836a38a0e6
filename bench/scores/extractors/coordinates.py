"""The coordinates as features, for vectors: FID is the Fréchet distance of fitted Gaussians."""

from torch import nn

from bench.runtime import files
from bench.scores.extractors import register


def prepare(data, section, names, folder, checkpoint, on_loss=None):
    """Writes extractor.json; nothing is trained."""
    with files.writing(folder) as partial:
        partial.mkdir(parents=True)
        files.write_json(partial / "extractor.json", {"name": "coordinates", "dim": data.dim})


def load(folder):
    """The torch-fidelity extractor that flattens its input."""
    files.read_json(folder / "extractor.json")
    return register(
        "bench-coordinates",
        ("coordinates",),
        nn.Flatten(),
        lambda network, images: (network(images),),
    )
