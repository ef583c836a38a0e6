"""Images that others drew, for their scores: a folder of files, or an array in an npz file.

They are taken as they are. Nothing is resized, cropped, or made grey or coloured, as each of these
changes FID: images of another shape than the data are an error.
"""

import os
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from bench.data import images, npy
from bench.data.dataset import Images
from bench.data.readers import folder
from bench.runtime import files
from bench.runtime.errors import BenchError, one_line

NAMES = ("images", "arr_0")  # of the array in an npz file that has several
MODES = {1: "L", 3: "RGB"}  # of Pillow, by channels
AS_THEY_ARE = "images are not resized, cropped, or changed in colour here"


def read(
    path: str | Path, shape: tuple[int, int, int], levels: int, to_bytes: np.ndarray
) -> tuple[np.ndarray | Images, str]:
    """(uint8 images (n, *shape) of levels 0..levels − 1, what they are in words).

    Parameters
    ----------
    path : a folder of png, jpg, jpeg, webp and bmp files at any depth, in the order of their paths;
        or an npz file.
    shape : (channels, height, width), that each image must have.
    levels : of a pixel. An npz file has these levels.
    to_bytes : uint8 (levels,), the byte that each level is in a file of an image.

    Raises BenchError if there are no images. If a file of a folder is not as expected, the error
    comes when it is read, and names it.
    """
    if os.path.isdir(path):
        return _in_folder(Path(path), shape, to_bytes)
    expected = "expected a folder of images, or an npz file with an array of them"
    if not os.path.exists(path):
        raise BenchError(f"{path}: no such file or folder; {expected}")
    files.check_readable(str(path), path, expected)
    with one_line(f"{path}: truncated or not readable", expected), zipfile.ZipFile(path) as archive:
        array = _in_archive(str(path), archive, shape)
    if not len(array) or array.max() >= levels:
        found = f"level {array.max()}" if len(array) else "no image"
        raise BenchError(f"{path}: found {found}, expected levels 0..{levels - 1} of the data")
    return array, f"{len(array)} of {path}"


def _in_archive(where, archive, shape):
    """The array of images of an open npz file, uint8 (n, *shape)."""
    members = [name.removesuffix(".npy") for name in archive.namelist()]
    if not members:
        raise BenchError(f"{where}: found no array, expected one of images")
    name = next((name for name in NAMES if name in members), members[0])
    if name not in NAMES and len(members) > 1:
        raise BenchError(
            f"{where}: found the arrays {', '.join(members)[:80]}; expected one, or one that is "
            f"called {' or '.join(NAMES)}"
        )
    channels, height, width = shape
    layouts = [shape, (height, width, channels)]
    if channels == 1:
        layouts.append((height, width))
    array = npy.read(
        where,
        archive,
        name,
        lambda dtype, found: dtype == np.uint8 and found[1:] in layouts,
        f"uint8 {' or '.join(_with_n(layout) for layout in layouts)}; {AS_THEY_ARE}",
    )
    if array.shape[1:] == shape:
        return array
    return array[:, None] if array.ndim == 3 else array.transpose(0, 3, 1, 2)


def _with_n(layout):
    return f"(n, {', '.join(map(str, layout))})"


def _in_folder(path, shape, to_bytes):
    """The images of a folder, made one by one."""
    if shape[0] not in MODES:
        raise BenchError(
            f"{path}: expected an npz file, as the data have {shape[0]} channels and files of "
            "images have 1 or 3"
        )
    paths = folder.find(str(path), path, 1)
    to_levels = np.full(256, -1)
    to_levels[to_bytes] = np.arange(len(to_bytes))

    def each():
        for file in paths:
            yield _levels(file, shape, to_levels)

    kinds = Counter(file.suffix.lower().lstrip(".") for file in paths)
    words = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return Images((len(paths), *shape), each), f"{words} of {path}"


def _levels(file, shape, to_levels):
    """The levels of the image in a file, uint8 of `shape`."""
    channels, height, width = shape
    with images.opened(str(file), file) as image:
        if (image.width, image.height, image.mode) != (width, height, MODES[channels]):
            raise BenchError(
                f"{file}: found {image.width}×{image.height} pixels of mode {image.mode}, expected "
                f"{width}×{height} of mode {MODES[channels]}; {AS_THEY_ARE}"
            )
        pixels = np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1)
    levels = to_levels[pixels]
    if levels.min() < 0:
        count = (to_levels >= 0).sum()
        raise BenchError(
            f"{file}: found the value {pixels[levels < 0][0]}, which is none of the {count} levels "
            "of the data in 0..255; expected level k of n as round(255 k/(n − 1)), or an npz file "
            f"of levels 0..{count - 1}"
        )
    return levels.astype(np.uint8)
