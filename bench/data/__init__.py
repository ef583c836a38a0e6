"""Data sets: images as integer levels 0..levels − 1, or vectors of real numbers, split into train and test.

A reader is a module of this package with a function `read` that returns a `Raw`; its name in a setting's
`data.name` is the module's name, and the other keys of `data` are the function's keyword arguments, checked
against their annotations. The data stage writes what a reader returns as npy files, which every later stage maps
into memory: nothing is held as float but the batch at hand.

A reader of files that can be had from the internet lists them as `DOWNLOADS`, pairs (address, MD5). One that knows
how large its data set is before it reads it has a function `size` with the arguments of `read`, which returns a `Size`.
"""

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ConfigDict, create_model

from bench import files
from bench.errors import BenchError, unknown

READERS = sorted(module.name for module in pkgutil.iter_modules(__path__))


@dataclass(frozen=True)
class Raw:
    """What a reader returns: uint8 levels of shape (n, channels, height, width), labels or None.

    Continuous data have levels None and float64 values in place of levels, a vector as an image of d channels and one
    pixel; where the law they are drawn from is known, `law` is that `bench.mixture.Mixture`.
    """

    train: np.ndarray
    test: np.ndarray
    levels: int | None
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    law: object = None


@dataclass(frozen=True)
class Size:
    """How large a data set is: (channels, height, width), images in each split; levels as in `Raw`, and whether it has labels."""

    shape: tuple
    train: int
    test: int
    levels: int | None = 256
    labels: bool = True


@dataclass(frozen=True)
class Data:
    """A prepared data set. Levels 0..levels − 1 are spread evenly over [lo, hi] = [−1, 1].

    Continuous data have `levels` None, floats in place of levels, and an infinite range; `law` as in `Raw`.
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
        """{"exact_nats": −log p(x) of the first `count` test points}, or {} where the law is not known."""
        if self.law is None:
            return {}
        import torch

        return {"exact_nats": -self.law.law().log_prob(torch.from_numpy(self.to_float(self.test[:count]))).numpy()}

    def to_float(self, levels):
        """Levels (n, channels, height, width) as float64 values in [lo, hi], flattened to (n, dim)."""
        flat = np.array(levels, dtype=np.float64).reshape(len(levels), -1)
        if self.levels is None:
            return flat
        return self.lo + flat * ((self.hi - self.lo) / (self.levels - 1))

    def to_levels(self, values):
        """The nearest levels of float values (n, dim) as uint8 images, values beyond the range clipped to it.

        Continuous data stay as they are, in the shape of the data.
        """
        if self.levels is None:
            return np.asarray(values, dtype=np.float64).reshape(-1, *self.shape)
        scaled = (np.asarray(values) - self.lo) * ((self.levels - 1) / (self.hi - self.lo))
        return np.rint(scaled).clip(0, self.levels - 1).astype(np.uint8).reshape(-1, *self.shape)


def options(name):
    """The pydantic model of what the reader `name` takes: the keys of `data` beside the name."""
    parameters = inspect.signature(_reader(name).read).parameters.values()
    fields = {key.name: (key.annotation, ... if key.default is key.empty else key.default) for key in parameters}
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def size(name, given, folder):
    """The `Size` of the data set `name` with the reader's options `given`, None where nobody knows it yet.

    A reader that does not say leaves it to what `prepare` wrote to `folder`, if it has.
    """
    reader = _reader(name)
    if hasattr(reader, "size"):
        return reader.size(**given)
    if not (folder / "data.json").exists():
        return None
    about = files.read_json(folder / "data.json")
    return Size(tuple(about["shape"]), about["train"], about["test"], about["levels"], (folder / "train_labels.npy").exists())


def fetch(name, folder):
    """Downloads the files of the data set `name` to `folder`, where they are not there yet; returns their paths.

    Raises BenchError for a data set that has none, or as `bench.download.fetch` does.
    """
    from bench import download

    files_of = {reader: getattr(_reader(reader), "DOWNLOADS", None) for reader in READERS}
    if not files_of.get(name):
        raise unknown("data set to download", name, [reader for reader, listed in files_of.items() if listed])
    return [download.fetch(url, Path(folder) / url.rsplit("/", 1)[1], md5=md5) for url, md5 in files_of[name]]


def prepare(name, folder, given=None, accept=None):
    """Reads the data set `name` and writes it to `folder`: {train,test}.npy, labels and law where known, data.json.

    given: options of the reader (see `options`); accept: called with the `Raw` before anything is written, to refuse it.
    """
    raw = _reader(name).read(**given or {})
    arrays = {"train": raw.train, "test": raw.test, "train_labels": raw.train_labels, "test_labels": raw.test_labels}
    arrays = {key: np.ascontiguousarray(array) for key, array in arrays.items() if array is not None}
    _check(name, raw)
    if accept:
        accept(raw)
    with files.writing(folder) as partial:
        partial.mkdir()
        for key, array in arrays.items():
            np.save(partial / f"{key}.npy", array)
        if raw.law is not None:
            files.write_npz(partial / "law.npz", **raw.law.arrays())
        files.write_json(partial / "data.json", {
            "name": name, "levels": raw.levels, "shape": list(raw.train.shape[1:]), "train": len(raw.train),
            "test": len(raw.test), "sha256": files.digest(b"".join(array.tobytes() for array in arrays.values())),
        })


def load(folder):
    """The data set written to `folder` by `prepare`, memory-mapped."""
    about = files.read_json(f"{folder}/data.json")
    labels = {key: files.read_npy(f"{folder}/{key}.npy") if (folder / f"{key}.npy").exists() else None
              for key in ("train_labels", "test_labels")}
    data = Data(about["name"], files.read_npy(f"{folder}/train.npy"), files.read_npy(f"{folder}/test.npy"),
                about["levels"], labels["train_labels"], labels["test_labels"], about["sha256"], _law(folder))
    if [len(data.train), len(data.test), *data.shape] != [about["train"], about["test"], *about["shape"]]:
        raise BenchError(f"{folder}: arrays do not have the shapes that data.json gives; {files.remake(folder)}")
    return data


def _law(folder):
    """The law of the data where it is known, else None."""
    if not (folder / "law.npz").exists():
        return None
    from bench.mixture import Mixture

    arrays = files.read_npz(folder / "law.npz")
    with files.reading(folder / "law.npz"):
        return Mixture.of(**arrays)


def _reader(name):
    if name not in READERS:
        raise unknown("data set", name, READERS)
    return importlib.import_module(f"{__name__}.{name}")


def _check(name, raw):
    kind = np.uint8 if raw.levels else np.float64
    for split, images in (("train", raw.train), ("test", raw.test)):
        if not len(images):
            raise BenchError(f"data set {name!r}: the {split} split is empty; expected both a train and a test split")
        if images.dtype != kind or images.ndim != 4:
            raise BenchError(f"data set {name!r}: expected {kind.__name__} images (n, channels, height, width) in both "
                             f"splits, found {images.dtype} {images.shape}")
        if images.shape[1:] != raw.train.shape[1:]:
            raise BenchError(f"data set {name!r}: expected images of one shape in both splits, found "
                             f"{raw.train.shape[1:]} and {images.shape[1:]}")
        if raw.levels and images.max() >= raw.levels:
            raise BenchError(f"data set {name!r}: expected levels 0..{raw.levels - 1}, found {images.max()}")
        if not raw.levels and not np.isfinite(images).all():
            raise BenchError(f"data set {name!r}: expected finite values in the {split} split")
