"""CelebA at 64×64: 202599 aligned photographs of faces, 3×64×64, 256 levels.

They are cropped and resized as in the DDIM code: of a photograph of 178×218 pixels, the square of
128 around column 89 and row 121 is resized to 64 with Pillow's bilinear filter, which widens if an
image shrinks (`Crop` and `Resize` in datasets/__init__.py of https://github.com/ermongroup/ddim,
copied by both repositories of Analytic-DPM). Another crop changes FID by a factor.

The splits are the official ones, by the numbers in the files' names: to 162770 for training, to
182637 for validation, the last 19962 for test. The DDIM code trains on the first and tests on the
last. The validation images are not used.
"""

import contextlib
import os
import re
import zipfile
from pathlib import Path

from PIL import Image

from bench.data import images
from bench.data.dataset import Images, Raw, Size
from bench.runtime import files
from bench.runtime.errors import BenchError, one_line

FOLDER = "img_align_celeba"
LAST_TRAIN, FIRST_TEST = 162770, 182638
SIZE = (178, 218)
BOX = (25, 57, 153, 185)  # left, top, right, bottom
PLACE = (
    f"{FOLDER}.zip (Align&Cropped Images) from "
    "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, as it is or extracted"
)


def read(path: str) -> Raw:
    """The images as a `Raw` without labels, in the order of their numbers.

    path: the folder img_align_celeba, or img_align_celeba.zip (read in place), or a folder with
    one. Raises BenchError if they are missing. If an image is not as expected, the error comes when
    it is made, and names it.
    """
    where = f"data.path: {path}"
    places = [
        Path(path) / FOLDER / FOLDER,
        Path(path) / FOLDER,
        Path(path) / f"{FOLDER}.zip",
        Path(path),
    ]
    place = next((place for place in places if place.exists()), None)
    if place is None:
        raise BenchError(f"{where}: no such file or folder; expected {PLACE}")
    files.check_readable(where, place, f"expected {PLACE}")
    with _opened(where, place) as (names, _):
        numbered = sorted(
            (int(match[1]), name)
            for name in names
            if (match := re.fullmatch(rf"(?:{FOLDER}/)?(\d{{6}})\.jpg", name))
        )
    train = [name for number, name in numbered if 1 <= number <= LAST_TRAIN]
    test = [name for number, name in numbered if number >= FIRST_TEST]
    if not train or not test or len(dict(numbered)) != len(numbered):
        raise BenchError(
            f"{where}: found {len(train)} training images (000001.jpg to {LAST_TRAIN}.jpg) "
            f"and {len(test)} test images (from {FIRST_TEST}.jpg on); "
            f"expected some of both, each once, of {PLACE}"
        )
    return Raw(train=_faces(where, place, train), test=_faces(where, place, test), levels=256)


def size(path: str) -> Size:
    """How large the data set is as published, wherever its files are."""
    return Size((3, 64, 64), train=LAST_TRAIN, test=202599 - FIRST_TEST + 1, labels=False)


def _faces(where, place, names):
    """The images of these names."""

    def each():
        with _opened(where, place) as (_, open_file):
            for name in names:
                with images.opened(f"{where}: {name}", open_file(name), SIZE) as image:
                    face = images.pixels(
                        image.crop(BOX).resize((64, 64), Image.Resampling.BILINEAR)
                    )
                yield face

    return Images((len(names), 3, 64, 64), each)


@contextlib.contextmanager
def _opened(where, place):
    """(names, function that opens one) of the files in a folder or a zip archive."""
    with one_line(f"{where}: truncated or not readable", f"expected the images of {FOLDER}.zip"):
        if place.is_dir():
            yield os.listdir(place), lambda name: place / name
        else:
            with zipfile.ZipFile(place) as archive:
                yield archive.namelist(), archive.open
