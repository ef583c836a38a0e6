"""ImageNet at 64×64: 1.28 million training and 50000 validation images, 3×64×64, 256 levels.

It has two forms. The older is two folders of png files, train_64x64 and valid_64x64, made for
PixelRNN (van den Oord et al. 2016), 1281149 and 49999 images. The published numbers are of this
one: improved-diffusion trained on it (datasets/README.md of
https://github.com/openai/improved-diffusion) and Analytic-DPM measured on it
(interface/datasets/imagenet64.py of https://github.com/baofff/Analytic-DPM). Later image-net.org
replaced it by the npz files of Chrabaszcz et al. 2017, 1281167 and 50000 images, resized in another
way, with labels. In both, the test images are the validation images.
"""

import contextlib
import functools
import os
import zipfile
from pathlib import Path

import numpy as np

from bench.data import images, npy
from bench.data.dataset import Images, Raw, Size
from bench.runtime import files
from bench.runtime.errors import BenchError, one_line

SIZE = (64, 64)
ROW = 3 * 64 * 64
FOLDERS = ["train_64x64", "valid_64x64"]
TRAIN = [f"train_data_batch_{number}.npz" for number in range(1, 11)]
TEST = "val_data.npz"
PLACE = (
    "the folders train_64x64 and valid_64x64, or Imagenet64_train_part1_npz.zip, "
    "Imagenet64_train_part2_npz.zip and Imagenet64_val_npz.zip, as they are or extracted, from "
    "https://image-net.org/download-images (after registration)"
)


def read(path: str) -> Raw:
    """The images as a `Raw`, with labels 0..999 if they are known.

    path: a folder with the folders train_64x64 and valid_64x64 of png files, taken in the order of
    their names; or with the batches train_data_batch_1..10.npz and val_data.npz, taken in their
    order. The batches may be in the folder, in folders of it, or in Imagenet64_*.zip. Raises
    BenchError if they are missing. If an image is not as expected, the error comes when it is made,
    and names it.
    """
    where = f"data.path: {path}"
    if not os.path.isdir(path):
        raise BenchError(f"{where}: no such folder; expected {PLACE}")
    if all((Path(path) / name).is_dir() for name in FOLDERS):
        train, test = (_pngs(where, path, name) for name in FOLDERS)
        return Raw(train=train, test=test, levels=256)
    batches = _batches(where, Path(path))
    missing = [name for name in [*TRAIN, TEST] if name not in batches]
    if missing:
        raise BenchError(
            f"{where}: neither {' and '.join(FOLDERS)} nor {', '.join(missing)} found; "
            f"expected {PLACE}"
        )
    train, train_labels = _split(where, {name: batches[name] for name in TRAIN})
    test, test_labels = _split(where, {TEST: batches[TEST]})
    return Raw(
        train=train, test=test, levels=256, train_labels=train_labels, test_labels=test_labels
    )


def size(path: str) -> Size:
    """How large the data set is as published, in the folders of png files, wherever they are."""
    return Size((3, 64, 64), train=1281149, test=49999, labels=False)


def _pngs(where, path, folder):
    """The png files of a folder."""
    with _reading(where):
        names = sorted(
            name
            for name in os.listdir(Path(path) / folder)
            if name.endswith(".png") and not name.startswith(".")
        )

    def each():
        for name in names:
            with images.opened(
                f"{where}: {folder}/{name}", os.path.join(path, folder, name), SIZE
            ) as image:
                yield images.pixels(image)

    return Images((len(names), 3, *SIZE), each)


def _batches(where, path):
    """{name of a batch: function that opens it as a zip archive}; npz files go before zip files."""
    batches = {}
    for file in [*sorted(path.glob("*.npz")), *sorted(path.glob("*/*.npz"))]:
        files.check_readable(f"{where}: {file.name}", file, f"expected {PLACE}")
        batches.setdefault(file.name, functools.partial(zipfile.ZipFile, file))
    for file in sorted(path.glob("Imagenet64_*.zip")):
        files.check_readable(f"{where}: {file.name}", file, f"expected {PLACE}")
        with _reading(f"{where}: {file.name}"), zipfile.ZipFile(file) as archive:
            for member in archive.namelist():
                name = member.rsplit("/", 1)[-1]
                batches.setdefault(name, functools.partial(_inside, file, member))
    return batches


@contextlib.contextmanager
def _inside(path, member):
    """The zip archive that is a member of another, which is not extracted."""
    with zipfile.ZipFile(path) as outer, outer.open(member) as file, zipfile.ZipFile(file) as inner:
        yield inner


def _split(where, batches):
    """(Images, labels as int64) of some batches."""
    labels = []
    for name, open_archive in batches.items():
        with _reading(f"{where}: {name}"), open_archive() as archive:
            labels.append(_labels(f"{where}: {name}", archive))

    def each():
        for name, open_archive in batches.items():
            with (
                _reading(f"{where}: {name}"),
                open_archive() as archive,
                _rows(f"{where}: {name}", archive) as (file, count),
            ):
                for _ in range(count):
                    yield np.frombuffer(file.read(ROW), np.uint8).reshape(3, *SIZE)

    return Images((sum(map(len, labels)), 3, *SIZE), each), np.concatenate(labels)


def _labels(where, archive):
    """The labels of a batch as int64, as many as there are images."""
    with _rows(where, archive) as (_, count):
        pass
    labels = npy.read(
        where,
        archive,
        "labels",
        lambda dtype, shape: dtype.kind in "iu" and shape == (count,),
        f"whole numbers of shape ({count},), one per image",
    ).astype(np.int64)
    if labels.min() < 1 or labels.max() > 1000:
        raise BenchError(f"{where}: labels: found {labels.min()}..{labels.max()}, expected 1..1000")
    return labels - 1


@contextlib.contextmanager
def _rows(where, archive):
    """(file, count) of a batch. A row is an image: its red, green and blue plane."""
    with npy.opened(
        where,
        archive,
        "data",
        lambda dtype, shape: dtype == np.uint8 and shape[1:] == (ROW,) and shape[0] > 0,
        f"uint8 (n, {ROW}) with n ≥ 1",
    ) as (file, shape, fortran, _):
        if fortran:
            raise BenchError(
                f"{where}: data: found an array in Fortran order, "
                "expected C order, one row per image"
            )
        yield file, shape[0]


def _reading(where):
    """Turns any failure to read a file into a BenchError of one line."""
    return one_line(f"{where}: truncated or not readable", f"expected {PLACE}")
