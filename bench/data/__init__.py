"""Data sets: images as integer levels 0..levels − 1, split into train and test.

A reader is a module of this package with a function `read()` that returns a `Raw`; its name in a setting's
`data.name` is the module's name. The data stage writes what a reader returns as npy files, which every later
stage maps into memory: nothing is held as float but the batch at hand.
"""

import importlib
import pkgutil
from dataclasses import dataclass

import numpy as np

from bench import files
from bench.errors import BenchError, unknown

READERS = sorted(module.name for module in pkgutil.iter_modules(__path__))


@dataclass(frozen=True)
class Raw:
    """What a reader returns: uint8 levels of shape (n, channels, height, width), labels or None."""

    train: np.ndarray
    test: np.ndarray
    levels: int
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None


@dataclass(frozen=True)
class Data:
    """A prepared data set. Levels 0..levels − 1 are spread evenly over [lo, hi] = [−1, 1].

    Continuous data have `levels` None, floats in place of levels, and an infinite range.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    levels: int | None
    train_labels: np.ndarray | None
    test_labels: np.ndarray | None
    sha256: str
    lo: float = -1.0
    hi: float = 1.0

    @property
    def shape(self):
        """(channels, height, width)"""
        return self.train.shape[1:]

    @property
    def dim(self):
        """The number d of coordinates."""
        return int(np.prod(self.shape))

    @property
    def radius(self):
        """(hi − lo)/2, half the data range."""
        return (self.hi - self.lo) / 2

    def to_float(self, levels):
        """Levels (n, channels, height, width) as float64 values in [lo, hi], flattened to (n, dim)."""
        flat = np.asarray(levels, dtype=np.float64).reshape(len(levels), -1)
        if self.levels is None:
            return flat
        return self.lo + flat * ((self.hi - self.lo) / (self.levels - 1))

    def to_levels(self, values):
        """The nearest levels of float values (n, dim) as uint8 images, values beyond the range clipped to it."""
        scaled = (np.asarray(values) - self.lo) * ((self.levels - 1) / (self.hi - self.lo))
        return np.rint(scaled).clip(0, self.levels - 1).astype(np.uint8).reshape(-1, *self.shape)


def prepare(name, folder):
    """Reads the data set `name` and writes it to `folder`: {train,test}.npy, labels where there are any, data.json."""
    raw = _reader(name).read()
    arrays = {"train": raw.train, "test": raw.test, "train_labels": raw.train_labels, "test_labels": raw.test_labels}
    arrays = {key: np.ascontiguousarray(array) for key, array in arrays.items() if array is not None}
    _check(name, raw)
    with files.writing(folder) as partial:
        partial.mkdir()
        for key, array in arrays.items():
            np.save(partial / f"{key}.npy", array)
        files.write_json(partial / "data.json", {
            "name": name, "levels": raw.levels, "lo": Data.lo, "hi": Data.hi, "shape": list(raw.train.shape[1:]),
            "train": len(raw.train), "test": len(raw.test),
            "sha256": files.digest(b"".join(array.tobytes() for array in arrays.values())),
        })


def load(folder):
    """The data set written to `folder` by `prepare`, memory-mapped."""
    about = files.read_json(f"{folder}/data.json")
    labels = {key: files.read_npy(f"{folder}/{key}.npy") if (folder / f"{key}.npy").exists() else None
              for key in ("train_labels", "test_labels")}
    data = Data(about["name"], files.read_npy(f"{folder}/train.npy"), files.read_npy(f"{folder}/test.npy"),
                about["levels"], labels["train_labels"], labels["test_labels"], about["sha256"])
    if [len(data.train), len(data.test), *data.shape] != [about["train"], about["test"], *about["shape"]]:
        raise BenchError(f"{folder}: arrays do not have the shapes that data.json gives; {files.remake(folder)}")
    return data


def _reader(name):
    if name not in READERS:
        raise unknown("data set", name, READERS)
    return importlib.import_module(f"{__name__}.{name}")


def _check(name, raw):
    for split in (raw.train, raw.test):
        if split.dtype != np.uint8 or split.ndim != 4 or not len(split):
            raise BenchError(f"data set {name!r}: expected uint8 images (n, channels, height, width) in both splits, "
                             f"found {split.dtype} {split.shape}")
        if split.max() >= raw.levels:
            raise BenchError(f"data set {name!r}: expected levels 0..{raw.levels - 1}, found {split.max()}")
