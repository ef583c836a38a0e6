"""Pictures of samples, one for each cell. Pillow draws images: matplotlib imports for a second."""

from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from bench.data.dataset import Data
from bench.runtime import files


def samples(images: Shaped[np.ndarray, "n ..."], data: Data, path: Path) -> None:
    """Draws samples of a data set: a grid of images, or the first two coordinates of vectors."""
    if data.levels is not None:
        return grid(images, data.levels, path)
    from bench.report.figures import sheet, style

    training = data.train[: len(images)]
    drawn = sheet.scatter(images.reshape(len(images), -1), training.reshape(len(training), -1))
    style.save(drawn, [path])


def grid(
    images: UInt8[np.ndarray, "n channels height width"], levels: int, path: Path, side: int = 8
) -> None:
    """Writes the first side² images as a png, enlarged by whole pixels.

    images: grey levels, 1 or 3 channels. levels: how many there are.
    """
    images = images[: side * side]
    channels, height, width = images.shape[1:]
    rows = -(-len(images) // side)
    shape = (rows * (height + 1) + 1, side * (width + 1) + 1, channels)
    sheet = np.zeros(shape, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = (index // side) * (height + 1) + 1, (index % side) * (width + 1) + 1
        pixels = np.rint(image.transpose(1, 2, 0) * (255 / (levels - 1)))
        sheet[top : top + height, left : left + width] = pixels
    zoom = max(1, 512 // sheet.shape[1])
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)
    with files.writing(path) as partial:
        Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(partial, format="png")
