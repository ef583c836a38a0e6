"""CIFAR-10: 60000 colour images, 3×32×32 with 256 levels and ten classes, in the official Python archive.

The archive is read where it is, member by member and by the names that it must hold: nothing is extracted, so no
path inside it is ever a path here. Its members are pickles, which `bench.unpickle` reads without running code.
"""

import gzip
import os
import tarfile
from pathlib import Path

import numpy as np

from bench import unpickle
from bench.data import Raw, Size
from bench.errors import BenchError, reason

ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
DOWNLOADS = [(ARCHIVE, "c58f30108f718f92721af3b95e74349a")]
FOLDER = "cifar-10-batches-py"
TRAIN = [f"data_batch_{number}" for number in range(1, 6)]
TEST = "test_batch"


def read(path: str):
    """The data set as a `Raw`; training images in the order of data_batch_1..5.

    path: cifar-10-python.tar.gz, or the folder cifar-10-batches-py that was extracted from it.
    Raises BenchError where it is missing, truncated, or holds anything but what is expected.
    """
    where = f"data.path: {path}"
    batches = _batches(where, path)
    missing = [name for name in [*TRAIN, TEST] if name not in batches]
    if missing:
        raise BenchError(f"{where}: {', '.join(missing)} not found; expected {FOLDER}/ with {TRAIN[0]}..5 and {TEST}, "
                         f"as in {ARCHIVE}")
    images, labels = zip(*(batches[name] for name in TRAIN), strict=True)
    test_images, test_labels = batches[TEST]
    return Raw(train=np.concatenate(images), test=test_images, levels=256,
               train_labels=np.concatenate(labels), test_labels=test_labels)


def size(path):
    """How large the data set is as published, wherever its archive is."""
    return Size((3, 32, 32), train=50000, test=10000)


def _batches(where, path):
    """{name: (images, labels)} of the batches found at `path`; any failure to read it is one line."""
    if not os.path.exists(path):
        raise BenchError(f"{where}: no such file or folder; expected the archive from {ARCHIVE}, "
                         f"or the folder {FOLDER} extracted from it")
    try:
        return _from_folder(where, path) if os.path.isdir(path) else _from_archive(where, path)
    except BenchError:
        raise
    except Exception as error:  # tarfile, gzip and zlib have many of their own
        raise BenchError(f"{where}: truncated or not readable ({reason(error)}); expected the archive from {ARCHIVE}") from error


def _from_archive(where, path):
    """{name: (images, labels)} of the batches in the archive, in one pass over it."""
    names = {f"{FOLDER}/{name}": name for name in [*TRAIN, TEST]}
    batches = {}
    with gzip.open(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            name = names.get(member.name)
            if name is None:
                continue
            if not member.isreg() or name in batches:
                what = "a second member of this name" if name in batches else "a link, a folder or a device"
                raise BenchError(f"{where}: {member.name}: found {what}; expected one regular file, as in {ARCHIVE}")
            batches[name] = _batch(f"{where}: {member.name}", archive.extractfile(member))
        while file.read(1 << 20):  # gzip compares its checksum at the end
            pass
    return batches


def _from_folder(where, path):
    """{name: (images, labels)} of the batches in the folder."""
    batches = {}
    for name in [*TRAIN, TEST]:
        if (Path(path) / name).is_file():
            with open(Path(path) / name, "rb") as file:
                batches[name] = _batch(f"{where}: {name}", file)
    return batches


def _batch(where, file):
    """Images, uint8 of shape (n, 3, 32, 32), and labels, int64 of shape (n,), of a pickled batch."""
    batch = unpickle.read(file, where)
    if not isinstance(batch, dict):
        raise BenchError(f"{where}: found a {type(batch).__name__}, expected a dict with b'data' and b'labels'")
    rows, labels = batch.get(b"data"), batch.get(b"labels")
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.shape[1:] != (3072,) or not len(rows):
        raise BenchError(f"{where}: data: found {_described(rows)}, expected uint8 (n, 3072) with n ≥ 1")
    if not isinstance(labels, list) or len(labels) != len(rows):
        raise BenchError(f"{where}: labels: found {_described(labels)}, expected a list of {len(rows)}, one an image")
    for label in labels:
        if type(label) is not int or not 0 <= label <= 9:
            found = label if type(label) is int and abs(label) < 1e9 else f"one of type {type(label).__name__}"
            raise BenchError(f"{where}: labels: found {found}, expected integers 0..9")
    return rows.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


def _described(value):
    """What a value is, in a few words: an array's dtype and shape, a list's length, nothing, or a type."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "none" if value is None else f"a {type(value).__name__}"
