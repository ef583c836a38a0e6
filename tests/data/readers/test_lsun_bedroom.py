"""LSUN's bedrooms from databases made here: order, resizing against torchvision's, and what is
refused.
"""

import io
import shutil

import lmdb
import numpy as np
import pytest
from PIL import Image

from bench.data import dataset
from bench.data.readers import lsun_bedroom
from bench.runtime import imports
from bench.runtime.errors import BenchError
from tests.helpers.models import whole


def photograph(seed, width, height, kind="WEBP"):
    """A file with a photograph: noise of large and small grain."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 200, size=(5, 5, 3)).astype(np.uint8)).resize(
        (width, height)
    )
    pixels = np.asarray(coarse) + random.integers(0, 56, size=(height, width, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, kind)
    return file.getvalue()


def database(path, values):
    with lmdb.open(str(path), map_size=1 << 24) as made, made.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key, value)


# In the order in which they are put, which is not that of the keys
TRAIN = {
    b"c": photograph(0, 70, 48),
    b"a": photograph(1, 48, 61),
    b"d": photograph(2, 48, 48, "JPEG"),
    b"b": photograph(3, 97, 65),
    b"e": photograph(4, 20, 31, "PNG"),
}
TEST = {b"z": photograph(5, 48, 51), b"y": photograph(6, 53, 48)}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lsun").mkdir()
    database(tmp_path / "lsun" / "bedroom_train_lmdb", TRAIN)
    database(tmp_path / "lsun" / "bedroom_val_lmdb", TEST)
    return tmp_path / "lsun"


def expected(values, size):
    """uint8 (n, 3, size, size) by torchvision's transforms, in the order of the keys."""
    imports.declare_torchvision()
    from torchvision.transforms import functional

    found = []
    for _, value in sorted(values.items()):
        image = functional.resize(Image.open(io.BytesIO(value)).convert("RGB"), size)
        found.append(np.asarray(functional.center_crop(image, size)).transpose(2, 0, 1))
    return np.stack(found)


def wrong(path, *words, **options):
    """Asserts that preparing is one line that begins with the path and holds the words, and leaves
    nothing.
    """
    with pytest.raises(BenchError) as caught:
        dataset.prepare(
            "lsun_bedroom", path.parent / "out" / "data", {"path": str(path), "size": 48, **options}
        )
    line = str(caught.value)
    assert (
        line.startswith(f"data.path: {path}: ")
        and "\n" not in line
        and all(word in line for word in words)
    ), line
    assert not (path.parent / "out" / "data").exists()


@pytest.mark.parametrize("size", [32, 48, 61])
def test_images(folder, size):
    """Larger and smaller ones, wide and high, odd margins; the databases are left as they are."""
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    raw = lsun_bedroom.read(str(folder), size=size)
    assert raw.levels == 256 and raw.train_labels is None and raw.train.shape == (5, 3, size, size)
    assert (whole(raw.train) == expected(TRAIN, size)).all() and (
        whole(raw.test) == expected(TEST, size)
    ).all()
    assert before == {file: file.stat().st_mtime_ns for file in folder.rglob("*")}


def test_as_many_as_wanted(folder):
    """The first by their keys, of the training images alone."""
    raw = lsun_bedroom.read(str(folder), size=48, count=1)
    assert (whole(raw.train) == expected(TRAIN, 48)[:1]).all() and len(raw.test) == 2


def test_prepare(folder, tmp_path):
    dataset.prepare("lsun_bedroom", tmp_path / "data", {"path": str(folder), "count": 3})
    data = dataset.load(tmp_path / "data")
    assert (
        data.shape == (3, 256, 256)
        and len(data.train) == 3
        and (data.test == expected(TEST, 256)).all()
    )
    assert dataset.options("lsun_bedroom")(path="x").model_dump() == {
        "path": "x",
        "size": 256,
        "count": 50_000,
    }
    for options in ({"count": 0}, {"count": 1.5}, {"size": 0}, {"size": 10**6}, {}):
        with pytest.raises(ValueError):
            dataset.options("lsun_bedroom")(**({"path": "x", **options} if options else {}))


def test_missing(folder):
    wrong(
        folder.parent / "none",
        "bedroom_train_lmdb: no such database; expected the folders",
        "https://github.com/fyu/lsun",
    )
    shutil.rmtree(folder / "bedroom_val_lmdb")
    wrong(folder, "bedroom_val_lmdb: no such database")
    database(folder / "bedroom_val_lmdb", {})
    with pytest.raises(BenchError, match="'lsun_bedroom': the test split is empty"):
        dataset.prepare("lsun_bedroom", folder.parent / "data", {"path": str(folder)})


@pytest.mark.parametrize(
    "value, words",
    [
        (TRAIN[b"a"][:200], "cannot be decoded ("),
        (b"", "cannot be decoded ("),
        (b"<html>", "cannot be decoded (cannot identify"),
    ],
)
def test_wrong_images(folder, value, words):
    database(folder / "bedroom_train_lmdb", {b"b\n\xff": value})
    wrong(folder, rf"bedroom_train_lmdb: 'b\n\xff': {words}")
    # what comes after those that are wanted is not looked at
    dataset.prepare(
        "lsun_bedroom", folder.parent / "data", {"path": str(folder), "size": 48, "count": 2}
    )


def test_truncated(folder):
    """Refused before a page is touched that is not there, which would kill the process."""
    file = folder / "bedroom_train_lmdb" / "data.mdb"
    content = file.read_bytes()
    for part in (8192, len(content) - 4096, len(content) - 1):
        file.write_bytes(content[:part])
        wrong(folder, f"bedroom_train_lmdb: truncated: found {part} bytes, expected {len(content)}")
    for other in (b"", b"x" * 8192, content[:100]):
        file.write_bytes(other)
        wrong(folder, "bedroom_train_lmdb: not readable (", "expected the folders")
