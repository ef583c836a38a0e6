"""Images in an npz file: uint8 arrays (n, height, width, channels), or (n, height, width) if grey.

This is the layout of the files that others publish and of image libraries.
"""

import os
import zipfile
from typing import Annotated

import numpy as np
from pydantic import Field

from bench.data import npy
from bench.data.dataset import Raw
from bench.runtime.errors import BenchError, one_line

CHANNELS = 4  # more than these on the last axis means that the axes are in another order

Levels = Annotated[int, Field(strict=True, ge=2, le=256)]


def read(path: str, train: str = "train", test: str = "test", levels: Levels = 256) -> Raw:
    """The images as a `Raw` (n, channels, height, width), with labels if the file has both arrays.

    path: the file. train, test: names of its arrays of images. levels: how many values a pixel may
    take. Labels are arrays of whole numbers ≥ 0 named train_labels and test_labels, one per image.
    Raises BenchError if the file or an array is missing, truncated, or not as expected.
    """
    where = f"data.path: {path}"
    if not os.path.isfile(path):
        raise BenchError(
            f"{where}: no such file; expected an npz file with the arrays {train!r} and {test!r}"
        )
    if train == test:
        raise BenchError(
            f"data.test: found {test!r}, the same as data.train; expected another array's name"
        )
    with (
        one_line(f"{where}: truncated or not readable", "expected an npz file"),
        zipfile.ZipFile(path) as archive,
    ):
        images = [_images(where, archive, name) for name in (train, test)]
        labels = [
            _labels(where, archive, f"{split}_labels", len(array))
            for split, array in zip(("train", "test"), images, strict=True)
        ]
    if any(array is None for array in labels):
        labels = [None, None]
    return Raw(
        train=images[0],
        test=images[1],
        levels=levels,
        train_labels=labels[0],
        test_labels=labels[1],
    )


def _images(where, archive, name):
    """The array `name` as uint8 (n, channels, height, width), a view of the array in the file."""
    array = npy.read(
        where,
        archive,
        name,
        lambda dtype, shape: dtype == np.uint8 and _is_images(shape),
        f"uint8 (n, height, width, channels) with at most {CHANNELS} channels, "
        "or uint8 (n, height, width)",
    )
    return array[:, None] if array.ndim == 3 else array.transpose(0, 3, 1, 2)


def _is_images(shape):
    return len(shape) in (3, 4) and min(shape) >= 1 and (len(shape) == 3 or shape[3] <= CHANNELS)


def _labels(where, archive, name, count):
    """The array `name` as int64 (count,), or None if the file does not have it."""
    if f"{name}.npy" not in archive.namelist():
        return None
    array = npy.read(
        where,
        archive,
        name,
        lambda dtype, shape: dtype.kind in "iu" and shape == (count,),
        f"whole numbers of shape ({count},), one per image",
    ).astype(np.int64)
    if array.min() < 0:
        raise BenchError(
            f"{where}: {name}: found a label that is below 0 or beyond 64 bits, "
            "expected whole numbers ≥ 0"
        )
    return array
