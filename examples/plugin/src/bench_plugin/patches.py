"""Grey patches of the two photographs in scikit-learn: a flower and a Chinese temple.

They need no download and are natural images, which the digits are not. The label says which
photograph a patch is from.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from bench.data.dataset import Raw, Size

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
HEIGHT, WIDTH = 427, 640
GREY = (0.299, 0.587, 0.114)  # weights of red, green and blue: ITU-R BT.601

Side = Annotated[int, Field(strict=True, ge=4, le=64)]


def read(side: Side = 8) -> Raw:
    """The patches as a `Raw` (n, 1, side, side). side: pixels. Every tenth is a test image."""
    from sklearn.datasets import load_sample_image

    patches = [_patches(load_sample_image(name), side) for name in PHOTOGRAPHS]
    images = np.concatenate(patches)
    labels = np.repeat([0, 1], [len(of_one) for of_one in patches])
    test = np.arange(len(images)) % 10 == 0
    return Raw(
        train=images[~test],
        test=images[test],
        levels=256,
        train_labels=labels[~test],
        test_labels=labels[test],
    )


def size(side: int = 8) -> Size:
    """The size of what `read` returns, which `bench plan` asks for."""
    count = len(PHOTOGRAPHS) * (HEIGHT // side) * (WIDTH // side)
    test = -(-count // 10)
    return Size((1, side, side), train=count - test, test=test)


def _patches(photograph, side):
    """uint8 (n, 1, side, side) of a photograph (height, width, 3), row by row."""
    grey = np.rint(photograph @ np.array(GREY)).astype(np.uint8)
    rows, columns = HEIGHT // side, WIDTH // side
    tiles = grey[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return tiles.transpose(0, 2, 1, 3).reshape(-1, 1, side, side)
