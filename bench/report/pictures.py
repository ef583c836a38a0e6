"""Pictures of samples, drawn by Pillow: matplotlib takes a second to import, and one is drawn for every cell."""

import numpy as np
from PIL import Image

from bench.runtime import files


def samples(found, data, path):
    """Draws samples of `data` (`bench.data.dataset.Data`): a grid of images, or for vectors their first two coordinates."""
    if data.levels is None:
        from bench.report import figures

        figures.scatter(
            found.reshape(len(found), -1),
            data.train.reshape(len(data.train), -1)[: len(found)],
            path,
        )
    else:
        grid(found, data.levels, path)


def grid(images, levels, path, side=8):
    """Writes the first side² images, uint8 levels (n, channels, h, w), enlarged by whole pixels, as a png."""
    shown = images[: side * side]
    channels, height, width = shown.shape[1:]
    sheet = np.zeros(
        (-(-len(shown) // side) * (height + 1) + 1, side * (width + 1) + 1, channels),
        dtype=np.uint8,
    )
    for index, image in enumerate(shown):
        top, left = (index // side) * (height + 1) + 1, (index % side) * (width + 1) + 1
        sheet[top : top + height, left : left + width] = np.rint(
            image.transpose(1, 2, 0) * (255 / (levels - 1))
        )
    zoom = max(1, 512 // sheet.shape[1])
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1)
    with files.writing(path) as partial:
        Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(partial, format="png")
