"""Data sets: integer images with levels 0..levels − 1, or real vectors; a train and a test split.

A reader is a module of `bench.data.readers` with a function `read` that returns a `Raw`. A setting
names the module in `data.name`. The other keys of `data` are the function's keyword arguments; they
are checked against their annotations. The data stage writes what a reader returns as npy files, and
later stages map these into memory. Images that must be decoded (`Images`) are made while they are
written, a few at a time, so a data set may be larger than memory.

`bench.data.sources` downloads a reader's files. A reader that knows the size of its data set before
it reads it has a function `size` with the arguments of `read`; it returns a `Size`.
"""

import hashlib
import importlib
import inspect
import itertools
import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import ConfigDict, create_model
from tqdm import tqdm

from bench.data import readers
from bench.runtime import digests, files
from bench.runtime.errors import BenchError, unknown

READERS = sorted(module.name for module in pkgutil.iter_modules(readers.__path__))
PIECE = 1 << 24  # bytes


@dataclass(frozen=True)
class Images:
    """Images of `shape` (n, channels, height, width) that `each()` makes one by one, as uint8."""

    shape: tuple
    each: Callable
    dtype = np.dtype(np.uint8)

    def __len__(self):
        return self.shape[0]


@dataclass(frozen=True)
class Raw:
    """What a reader returns: uint8 levels (n, channels, height, width) as an array or `Images`.

    Labels may be None. Continuous data have levels None and float64 values; a vector is an image of
    d channels and one pixel. `law` is the `bench.mixture.Mixture` that they come from, if known.
    """

    train: np.ndarray | Images
    test: np.ndarray | Images
    levels: int | None
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    law: object = None


@dataclass(frozen=True)
class Size:
    """How large a data set is: shape of an image, images in each split, levels, labels or not."""

    shape: tuple
    train: int
    test: int
    levels: int | None = 256
    labels: bool = True


@dataclass(frozen=True)
class Data:
    """A prepared data set. Levels 0..levels − 1 are spread evenly over [lo, hi] = [−1, 1].

    Continuous data have `levels` None, float values and an infinite range. `law`: see `Raw`.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    levels: int | None
    train_labels: np.ndarray | None
    test_labels: np.ndarray | None
    sha256: str
    law: object = None

    @property
    def lo(self):
        """The least value of a coordinate."""
        return -np.inf if self.levels is None else -1.0

    @property
    def hi(self):
        """The largest value of a coordinate."""
        return np.inf if self.levels is None else 1.0

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

    def exact_nats(self, count):
        """{"exact_nats": −log p(x) of the first `count` test points}; {} if the law is unknown."""
        if self.law is None:
            return {}
        import torch

        points = torch.from_numpy(self.to_float(self.test[:count]))
        return {"exact_nats": -self.law.law().log_prob(points).numpy()}

    def to_float(self, levels):
        """Levels (n, channels, height, width) as float64 values in [lo, hi], of shape (n, dim)."""
        flat = np.array(levels, dtype=np.float64).reshape(len(levels), -1)
        if self.levels is None:
            return flat
        return self.lo + flat * ((self.hi - self.lo) / (self.levels - 1))

    def to_levels(self, values):
        """The nearest levels of float values (n, dim), as uint8 images. Clips to the range.

        Continuous data keep their values and get the shape of the data.
        """
        if self.levels is None:
            return np.asarray(values, dtype=np.float64).reshape(-1, *self.shape)
        scaled = (np.asarray(values) - self.lo) * ((self.levels - 1) / (self.hi - self.lo))
        return np.rint(scaled).clip(0, self.levels - 1).astype(np.uint8).reshape(-1, *self.shape)


def options(name):
    """The pydantic model of what the reader `name` takes: the keys of `data` beside the name."""
    parameters = inspect.signature(reader(name).read).parameters.values()
    fields = {
        key.name: (key.annotation, ... if key.default is key.empty else key.default)
        for key in parameters
    }
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def size(name, given, folder):
    """The `Size` of the data set `name` with the reader's options `given`; None if it is not known.

    If the reader has no `size`, it is read from what `prepare` wrote to `folder`.
    """
    module = reader(name)
    if hasattr(module, "size"):
        return module.size(**given)
    if not (folder / "data.json").exists():
        return None
    about = files.read_json(folder / "data.json")
    labels = (folder / "train_labels.npy").exists()
    return Size(tuple(about["shape"]), about["train"], about["test"], about["levels"], labels)


def prepare(name, folder, given=None, accept=None):
    """Reads a data set and writes it to `folder`: {train,test}.npy, labels, law, data.json.

    given: options of the reader (see `options`). accept: a function of the `Raw` that may refuse it
    by an error; it is called before any image is made.
    """
    raw = reader(name).read(**given or {})
    _check(name, raw)
    if accept:
        accept(raw)
    arrays = {
        "train": raw.train,
        "test": raw.test,
        "train_labels": raw.train_labels,
        "test_labels": raw.test_labels,
    }
    sha256 = hashlib.sha256()
    with files.writing(folder) as partial:
        partial.mkdir()
        for key, array in arrays.items():
            if array is not None:
                levels = raw.levels if key in ("train", "test") else None
                files.write_npy(
                    partial / f"{key}.npy",
                    array.shape,
                    array.dtype,
                    _checked(name, key, array, levels, sha256),
                )
        if raw.law is not None:
            files.write_npz(partial / "law.npz", **raw.law.arrays())
        files.write_json(
            partial / "data.json",
            {
                "name": name,
                "levels": raw.levels,
                "range": [-1, 1] if raw.levels else None,
                "shape": list(raw.train.shape[1:]),
                "train": len(raw.train),
                "test": len(raw.test),
                "sha256": digests.short(sha256),
            },
        )


def pieces(images):
    """The rows of an array or of `Images`, in order: contiguous arrays of about `PIECE` bytes."""
    rows = max(1, PIECE // max(1, math.prod(images.shape[1:]) * images.dtype.itemsize))
    if isinstance(images, Images):
        rest = images.each()
        while some := list(itertools.islice(rest, rows)):
            yield np.ascontiguousarray(np.stack(some))
    else:
        for first in range(0, len(images), rows):
            yield np.ascontiguousarray(images[first : first + rows])


def _checked(name, key, array, levels, sha256):
    """The pieces of an array; the values of each are checked and its bytes are hashed."""
    quick = not isinstance(array, Images)
    with tqdm(
        total=len(array), desc=f"{name} {key}", unit="image", mininterval=1.0, disable=quick
    ) as bar:
        for piece in pieces(array):
            if levels and piece.max() >= levels:
                raise BenchError(
                    f"data set {name!r}: expected levels 0..{levels - 1}, found {piece.max()}"
                )
            if piece.dtype.kind == "f" and not np.isfinite(piece).all():
                raise BenchError(f"data set {name!r}: expected finite values in the {key} split")
            sha256.update(piece)
            yield piece
            bar.update(len(piece))


def load(folder):
    """The data set written to `folder` by `prepare`, memory-mapped."""
    about = files.read_json(f"{folder}/data.json")
    labels = {
        key: files.read_npy(f"{folder}/{key}.npy") if (folder / f"{key}.npy").exists() else None
        for key in ("train_labels", "test_labels")
    }
    data = Data(
        about["name"],
        files.read_npy(f"{folder}/train.npy"),
        files.read_npy(f"{folder}/test.npy"),
        about["levels"],
        labels["train_labels"],
        labels["test_labels"],
        about["sha256"],
        _law(folder),
    )
    shapes = [len(data.train), len(data.test), *data.shape]
    if shapes != [about["train"], about["test"], *about["shape"]]:
        raise BenchError(
            f"{folder}: arrays do not have the shapes that data.json gives; {files.remake(folder)}"
        )
    return data


def _law(folder):
    """The law of the data where it is known, else None."""
    if not (folder / "law.npz").exists():
        return None
    from bench.mixture import Mixture

    arrays = files.read_npz(folder / "law.npz")
    with files.reading(folder / "law.npz"):
        return Mixture.of(**arrays)


def reader(name):
    """The module of the reader `name`."""
    if name not in READERS:
        raise unknown("data set", name, READERS)
    return importlib.import_module(f"{readers.__name__}.{name}")


def _check(name, raw):
    kind = np.uint8 if raw.levels else np.float64
    for split, images in (("train", raw.train), ("test", raw.test)):
        if not len(images):
            raise BenchError(
                f"data set {name!r}: the {split} split is empty; "
                "expected both a train and a test split"
            )
        if images.dtype != kind or len(images.shape) != 4:
            raise BenchError(
                f"data set {name!r}: expected {kind.__name__} images (n, channels, height, width) "
                f"in both splits, found {images.dtype} {images.shape}"
            )
        if images.shape[1:] != raw.train.shape[1:]:
            raise BenchError(
                f"data set {name!r}: expected images of one shape in both splits, found "
                f"{raw.train.shape[1:]} and {images.shape[1:]}"
            )
