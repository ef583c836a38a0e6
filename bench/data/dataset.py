"""Data sets: integer images with levels 0..levels − 1, or real vectors; a train and a test split.

A reader is a module of `bench.data.readers` with a function `read` that returns a `Raw`. A setting
names the module in `data.name`, or a reader of another package: an entry point of the group
`bench.readers`, or `package.module`. The other keys of `data` are the function's keyword arguments;
they are checked against their annotations. The data stage writes what a reader returns as npy
files, and later stages map these into memory. Images that must be decoded (`Images`) are made while
they are written, a few at a time, so a data set may be larger than memory.

`bench.data.sources` downloads a reader's files. A reader that knows the size of its data set before
it reads it has a function `size` with the arguments of `read`; it returns a `Size`.
"""

import hashlib
import itertools
import math
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Float, Float64, Integer, Shaped, UInt8
from pydantic import BaseModel, ConfigDict, Field
from tqdm import tqdm
from typing_extensions import TypedDict

from bench.data import readers
from bench.registry import is_whole
from bench.runtime import digests, files, plugins
from bench.runtime.errors import BenchError
from bench.runtime.fields import Count, arguments

READERS = sorted(module.name for module in pkgutil.iter_modules(readers.__path__))
GROUP = "bench.readers"  # of entry points
PIECE = 1 << 24  # bytes

Train = UInt8[np.ndarray, "train channels height width"]
Test = UInt8[np.ndarray, "test channels height width"]
TrainVectors = Float64[np.ndarray, "train channels height width"]
TestVectors = Float64[np.ndarray, "test channels height width"]


@dataclass(frozen=True)
class Images:
    """Images of `shape` (n, channels, height, width) that `each()` makes one by one, as uint8."""

    shape: tuple[int, int, int, int]
    each: Callable[[], Iterator[np.ndarray]]
    dtype: ClassVar[np.dtype] = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]


@dataclass(frozen=True)
class Raw:
    """What a reader returns: uint8 levels (n, channels, height, width) as an array or `Images`.

    Labels may be None. Continuous data have levels None and float64 values; a vector is an image of
    d channels and one pixel. `law` is the `bench.mixture.Mixture` that they come from, or None.
    """

    train: np.ndarray | Images
    test: np.ndarray | Images
    levels: int | None
    train_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    law: object = None


@dataclass(frozen=True)
class Size:
    """How large a data set is.

    shape: (channels, height, width) of an image; train, test: images in each split; levels: None
    for continuous data; labels: whether there are any.
    """

    shape: tuple[int, int, int]
    train: int
    test: int
    levels: int | None = 256
    labels: bool = True


class About(TypedDict):
    """What is read of data.json: how large the data are (`Size`), and a hash of the content."""

    __pydantic_config__ = ConfigDict(extra="allow")

    name: str
    levels: Annotated[int, Field(ge=2, le=256)] | None
    shape: tuple[Count, Count, Count]
    train: Count
    test: Count
    sha256: str


@dataclass(frozen=True)
class Data:
    """A prepared data set. Levels 0..levels − 1 are spread evenly over [lo, hi] = [−1, 1].

    Continuous data have `levels` None, float values and an infinite range. `law`: see `Raw`.
    """

    name: str
    train: Train | TrainVectors
    test: Test | TestVectors
    levels: int | None
    train_labels: Integer[np.ndarray, " train"] | None
    test_labels: Integer[np.ndarray, " test"] | None
    sha256: str
    law: object = None

    @property
    def lo(self) -> float:
        """The least value of a coordinate."""
        return -np.inf if self.levels is None else -1.0

    @property
    def hi(self) -> float:
        """The largest value of a coordinate."""
        return np.inf if self.levels is None else 1.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        return self.train.shape[1:]

    @property
    def dim(self) -> int:
        """The number d of coordinates."""
        return int(np.prod(self.shape))

    @property
    def radius(self) -> float:
        """(hi − lo)/2, half the data range."""
        return (self.hi - self.lo) / 2

    def exact_nats(self, count: int) -> dict[str, Float64[np.ndarray, " count"]]:
        """{"exact_nats": −log p(x) of the first `count` test points}; {} if the law is unknown."""
        if self.law is None:
            return {}
        import torch

        points = torch.from_numpy(self.to_float(self.test[:count]))
        return {"exact_nats": -self.law.law().log_prob(points).numpy()}

    def to_float(
        self, levels: Shaped[np.ndarray, "n channels height width"]
    ) -> Float64[np.ndarray, "n dim"]:
        """Images with levels as vectors of values in [lo, hi]. Continuous data keep theirs."""
        flat = np.array(levels, dtype=np.float64).reshape(len(levels), -1)
        if self.levels is None:
            return flat
        return self.lo + flat * ((self.hi - self.lo) / (self.levels - 1))

    def to_levels(
        self, values: Float[np.ndarray, "n dim"]
    ) -> Shaped[np.ndarray, "n channels height width"]:
        """The nearest levels of values, as uint8 images. Clips to the range.

        Continuous data keep their values and get the shape of the data.
        """
        if self.levels is None:
            return values.astype(np.float64).reshape(-1, *self.shape)
        scaled = (values - self.lo) * ((self.levels - 1) / (self.hi - self.lo))
        return np.rint(scaled).clip(0, self.levels - 1).astype(np.uint8).reshape(-1, *self.shape)


def of(images: np.ndarray, levels: int | None = 256) -> Data:
    """Data of images of one's own, (n, channels, height, width), which serve for both splits.

    images: uint8 levels, or floats of continuous data, whose `levels` are None. There may be none:
    then the data say what the range and the shape are. BenchError for others.
    """
    if levels is not None and not (is_whole(levels, 2) and levels <= 256):
        raise BenchError(f"levels: expected a whole number from 2 to 256, or None, found {levels}")
    kind = "uint8" if levels else "float"
    right = images.dtype == np.uint8 if levels else images.dtype.kind == "f"
    if images.ndim != 4 or not right:
        raise BenchError(
            f"images: expected {kind} (n, channels, height, width) for levels = {levels}, found "
            f"{images.dtype} {images.shape}"
        )
    if levels and len(images) and images.max() >= levels:
        raise BenchError(
            f"images: expected levels 0 to {levels - 1}, found {images.max()}; set `levels`"
        )
    if not levels:
        images = images.astype(np.float64)
    return Data("images", images, images, levels, None, None, "")


def options(name: str) -> type[BaseModel]:
    """The pydantic model of what the reader `name` takes: the keys of `data` beside the name.

    Raises BenchError for an unknown reader.
    """
    return arguments(name, reader(name).read)


def size(name: str, given: dict[str, Any], folder: Path) -> Size | None:
    """The `Size` of the data set `name` with the reader's options `given`; None if it is not known.

    If the reader has no `size`, it is read from what `prepare` wrote to `folder`.
    """
    module = reader(name)
    if hasattr(module, "size"):
        return module.size(**given)
    if not (folder / "data.json").exists():
        return None
    about = read_about(folder)
    labels = (folder / "train_labels.npy").exists()
    return Size(tuple(about["shape"]), about["train"], about["test"], about["levels"], labels)


def prepare(
    name: str,
    folder: Path | str,
    given: dict[str, Any] | None = None,
    accept: Callable[[Raw], object] | None = None,
) -> None:
    """Reads a data set and writes it to `folder`: {train,test}.npy, labels, law, data.json.

    given: options of the reader (see `options`). accept: raises an error if the `Raw` is refused;
    it is called before any image is made. Raises BenchError if the data are not as `Raw` says.
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


def pieces(images: np.ndarray | Images) -> Iterator[np.ndarray]:
    """The rows of an array or of `Images`, in order: contiguous arrays of about `PIECE` bytes."""
    rows = max(1, PIECE // max(1, math.prod(images.shape[1:]) * images.dtype.itemsize))
    if isinstance(images, Images):
        rest = images.each()
        while batch := list(itertools.islice(rest, rows)):
            yield np.ascontiguousarray(np.stack(batch))
    else:
        for first in range(0, len(images), rows):
            yield np.ascontiguousarray(images[first : first + rows])


def _checked(name, key, array, levels, sha256):
    """The pieces of an array. The values of each are checked, and its bytes are hashed."""
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


def read_about(folder: Path) -> About:
    """What data.json in `folder` says."""
    return files.read_json(folder / "data.json", About)


def load(folder: Path) -> Data:
    """The data set written to `folder` by `prepare`, memory-mapped.

    Raises BenchError if a file is missing or damaged, or if the files do not fit one another.
    """
    about = read_about(folder)
    files.check(folder)  # a file that is gone, such as labels, is one that it had
    labels = {"train_labels": None, "test_labels": None}
    for key in labels:
        if (folder / f"{key}.npy").exists():
            labels[key] = files.read_npy(folder / f"{key}.npy")
    train, test = (files.read_npy(folder / f"{split}.npy") for split in ("train", "test"))
    for split, images in (("train", train), ("test", test)):
        if list(images.shape) != [about[split], *about["shape"]]:
            raise BenchError(
                f"{folder}: arrays do not have the shapes that data.json gives; "
                f"{files.remake(folder)}"
            )
        of_split = labels[f"{split}_labels"]
        if of_split is not None and of_split.shape != images.shape[:1]:
            raise BenchError(
                f"{folder / split}_labels.npy: found {of_split.shape} labels, expected one for "
                f"each of the {len(images)} images; {files.remake(folder)}"
            )
    law, sha256 = _law(folder), about["sha256"]
    return Data(about["name"], train, test, about["levels"], **labels, sha256=sha256, law=law)


def _law(folder):
    """The law of the data, or None if it is not known."""
    if not (folder / "law.npz").exists():
        return None
    from bench.mixture import Mixture

    arrays = files.read_npz(folder / "law.npz")
    with files.reading(folder / "law.npz"):
        return Mixture.of(**arrays)


def reader(name: str) -> ModuleType | Any:
    """The module of the reader `name`, or what has its functions in another package.

    BenchError for an unknown one, or for one without `read`.
    """
    return plugins.load_module("data set", GROUP, readers.__name__, READERS, ["read"], name)


def _check(name, raw):
    """Raises BenchError unless both splits have images of one shape and of the right type."""
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
