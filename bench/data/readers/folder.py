"""A folder of images: every png, jpg, jpeg, webp and bmp below it, as RGB squares of one size.

The largest centred square of an image is cut out and resized with the box filter: each new pixel
is the mean of the area that it covers. The downsampled ImageNet was made so. Sharper filters, such
as the bicubic, overshoot at edges; clipping the overshoot would put weight on the first and last
level that the photographs do not have. An image smaller than the new size is enlarged by repeating
pixels.

Hidden files and folders are skipped. Links are followed.
"""

import os
from pathlib import Path
from typing import Annotated

from PIL import Image
from pydantic import Field

from bench.data import images
from bench.data.dataset import Images, Raw
from bench.runtime.errors import BenchError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


Every = Annotated[int, Field(strict=True, ge=2)]


def read(path: str, size: images.Side, test_every: Every = 10) -> Raw:
    """The images as a `Raw` (n, 3, size, size) without labels, in the order of their paths.

    path: the folder. size: pixels on a side. If path/train and path/test exist, they are the
    splits; otherwise the first image and every `test_every`-th after it is a test image. Raises
    BenchError if the folder has no images. If an image cannot be decoded, the error comes when it
    is made, and names it.
    """
    where = f"data.path: {path}"
    if not os.path.isdir(path):
        raise BenchError(
            f"{where}: no such folder; expected a folder of images ({', '.join(ENDINGS)})"
        )
    folders = [Path(path) / "train", Path(path) / "test"]
    if all(folder.is_dir() for folder in folders):
        train, test = (find(f"{where}: {folder.name}", folder, 1) for folder in folders)
    else:
        files = find(where, path, 2)
        train = [file for index, file in enumerate(files) if index % test_every]
        test = files[::test_every]
    return Raw(train=_squares(path, train, size), test=_squares(path, test, size), levels=256)


def find(where: str, folder: str | Path, least: int) -> list[Path]:
    """Paths of the images below a folder, sorted. A folder that links reach twice is read once.

    where: what an error calls the folder. BenchError if there are fewer than `least`.
    """
    files, visited = [], set()
    try:
        for here, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
            place = os.path.realpath(here)
            if place in visited:
                folders.clear()
                continue
            visited.add(place)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in names:
                if name.lower().endswith(ENDINGS) and not name.startswith("."):
                    files.append(Path(here) / name)
    except OSError as error:
        raise BenchError(
            f"{where}: cannot be listed ({error.filename}: {error.strerror})"
        ) from error
    if len(files) < least:
        raise BenchError(
            f"{where}: found {len(files)} images below it; expected at least {least} "
            f"({', '.join(ENDINGS)})"
        )
    return sorted(files)


def _refuse(error):
    """Raises the error of a folder that cannot be listed; os.walk alone would skip it silently."""
    raise error


def _squares(folder, paths, size):
    """The images at `paths` below the folder."""

    def each():
        for path in paths:
            where = f"data.path: {folder}: {str(path.relative_to(folder))!r}"
            yield _square(where, path, size)

    return Images((len(paths), 3, size, size), each)


def _square(where, path, size):
    """uint8 (3, size, size) of the centre of an image."""
    with images.opened(where, path) as image:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side)).convert("RGB")
        return images.pixels(square.resize((size, size), Image.Resampling.BOX))
