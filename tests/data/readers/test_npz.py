"""Images in npz files that numpy writes here: which arrays are read, and what is refused."""

import io
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from bench.data import dataset
from bench.data.readers import npz
from bench.runtime.errors import BenchError

RANDOM = np.random.default_rng(0)
TRAIN, TEST = (RANDOM.integers(0, 256, size=(count, 4, 5, 3)).astype(np.uint8) for count in (6, 2))
GOOD = {"train": TRAIN, "test": TEST}


def write(path, **arrays):
    np.savez(path, **arrays)
    return path


def header(shape, descr="|u1"):
    """The beginning of an npy file that claims a shape and a dtype."""
    file = io.BytesIO()
    npy.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def archive(path, **members):
    """An npz file of given bytes."""
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def wrong(path, *words, **options):
    """Asserts that reading is one line that begins with the path and holds the words."""
    with pytest.raises(BenchError) as caught:
        npz.read(str(path), **options)
    line = str(caught.value)
    assert (
        line.startswith(f"data.path: {path}: ")
        and "\n" not in line
        and all(word in line for word in words)
    ), line


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_colour(tmp_path, save, order):
    save(
        tmp_path / "images.npz",
        **{name: np.asarray(array, order=order) for name, array in GOOD.items()},
    )
    raw = npz.read(str(tmp_path / "images.npz"))
    assert raw.train.shape == (6, 3, 4, 5) and raw.test.shape == (2, 3, 4, 5) and raw.levels == 256
    assert all(
        raw.train[n, c, y, x] == TRAIN[n, y, x, c] for n, c, y, x in np.ndindex(raw.train.shape)
    )
    assert (
        (raw.test == np.moveaxis(TEST, 3, 1)).all()
        and raw.train_labels is None
        and raw.test_labels is None
    )


def test_grey_names_and_levels(tmp_path):
    path = write(
        tmp_path / "images.npz",
        arr_0=TRAIN[..., 0] % 16,
        arr_1=TEST[..., 0] % 16,
        other=np.zeros(3),
    )
    raw = npz.read(str(path), train="arr_0", test="arr_1", levels=16)
    assert (
        (raw.train[:, 0] == TRAIN[..., 0] % 16).all()
        and raw.test.shape == (2, 1, 4, 5)
        and raw.levels == 16
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, ">i4", np.uint64])
def test_labels(tmp_path, dtype):
    path = write(
        tmp_path / "images.npz",
        **GOOD,
        train_labels=np.arange(6).astype(dtype),
        test_labels=np.array([7, 0], dtype),
    )
    raw = npz.read(str(path))
    assert raw.train_labels.dtype == raw.test_labels.dtype == np.int64
    assert raw.train_labels.tolist() == [0, 1, 2, 3, 4, 5] and raw.test_labels.tolist() == [7, 0]
    raw = npz.read(str(write(tmp_path / "images.npz", **GOOD, train_labels=np.arange(6))))
    assert raw.train_labels is None and raw.test_labels is None  # both or neither


def test_prepare(tmp_path):
    path = write(tmp_path / "images.npz", **GOOD)
    dataset.prepare("npz", tmp_path / "data", {"path": str(path)})
    data = dataset.load(tmp_path / "data")
    assert (
        data.shape == (3, 4, 5)
        and (data.train == np.moveaxis(TRAIN, 3, 1)).all()
        and data.train.flags.c_contiguous
    )
    with pytest.raises(BenchError, match="expected levels 0..1, found"):
        dataset.prepare("npz", tmp_path / "data", {"path": str(path), "levels": 2})


@pytest.mark.parametrize("levels", [1, 257, 0, "256", 2.5])
def test_levels_of_a_byte(levels):
    with pytest.raises(ValueError, match="levels"):
        dataset.options("npz")(path="x", levels=levels)
    assert dataset.options("npz")(path="x").model_dump() == {
        "path": "x",
        "train": "train",
        "test": "test",
        "levels": 256,
    }


def test_missing(tmp_path):
    wrong(
        tmp_path / "none.npz",
        "no such file; expected an npz file with the arrays 'train' and 'test'",
    )
    wrong(tmp_path, "no such file")
    path = write(tmp_path / "images.npz", arr_0=TRAIN, arr_1=TEST)
    wrong(
        path,
        "array 'train' not found; expected uint8 (n, height, width, channels)",
        "(the file has: 'arr_0', 'arr_1')",
    )
    wrong(path, "array 'val' not found", train="arr_0", test="val")
    wrong(archive(tmp_path / "empty.npz"), "(the file has: nothing)")
    with pytest.raises(
        BenchError,
        match="data.test: found 'arr_0', the same as data.train; expected another array's name",
    ):
        npz.read(str(path), train="arr_0", test="arr_0")


@pytest.mark.parametrize(
    "array, words",
    [
        (
            TRAIN.astype(np.float32),
            "found float32 (6, 4, 5, 3), expected uint8 (n, height, width, channels)",
        ),
        (TRAIN.astype(np.int8), "found int8 (6, 4, 5, 3)"),
        (
            TRAIN.transpose(0, 3, 1, 2),
            "found uint8 (6, 3, 4, 5), expected uint8 (n, height, width, channels) with at most 4",
        ),
        (TRAIN.reshape(6, -1), "found uint8 (6, 60)"),
        (TRAIN[:0], "found uint8 (0, 4, 5, 3)"),
        (TRAIN[:, :, :, :0], "found uint8 (6, 4, 5, 0)"),
        (np.uint8(3), "found uint8 ()"),
        (
            TRAIN.view([("a", "u1"), ("b", "u1"), ("c", "u1")]),
            "found [('a', 'u1'), ('b', 'u1'), ('c', 'u1')]",
        ),
    ],
)
def test_wrong_images(tmp_path, array, words):
    wrong(write(tmp_path / "images.npz", train=TRAIN, test=array), f"test: {words}")


@pytest.mark.parametrize(
    "labels, words",
    [
        (np.arange(5), "found int64 (5,), expected whole numbers of shape (6,), one per image"),
        (np.zeros((6, 10), np.uint8), "found uint8 (6, 10)"),
        (np.zeros(6), "found float64 (6,)"),
        (np.array(list("abcdef")), "found <U1 (6,)"),
        (np.array([0, 1, 2, 3, 4, -1]), "found a label that is below 0"),
        (
            np.array([0, 1, 2, 3, 4, 2**64 - 1], np.uint64),
            "found a label that is below 0 or beyond 64 bits",
        ),
    ],
)
def test_wrong_labels(tmp_path, labels, words):
    wrong(
        write(tmp_path / "images.npz", **GOOD, train_labels=labels, test_labels=np.arange(2)),
        f"train_labels: {words}",
    )


class Call:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_object_arrays_are_refused_unread(tmp_path):
    marker = tmp_path / "marker"
    hostile = np.array([Call(os.mkdir, str(marker))] * 6, dtype=object)
    wrong(
        write(tmp_path / "images.npz", train=hostile, test=TEST),
        "train: found object (6,), expected uint8",
    )
    wrong(
        write(tmp_path / "images.npz", **GOOD, train_labels=hostile),
        "train_labels: found object (6,), expected whole numbers",
    )
    content = pickle.dumps(hostile)
    wrong(
        archive(tmp_path / "pickle.npz", train=content, test=content), "truncated or not readable ("
    )
    (tmp_path / "bare.npz").write_bytes(content)
    wrong(tmp_path / "bare.npz", "truncated or not readable (File is not a zip file)")
    assert not marker.exists()


@pytest.mark.parametrize(
    "shape, words",
    [
        (
            (10**12, 4, 5, 3),
            "found 360 bytes, expected the 60000000000000 of uint8 (1000000000000, 4, 5, 3)",
        ),
        ((7, 4, 5, 3), "found 360 bytes, expected the 420"),
        ((5, 4, 5, 3), "found 360 bytes, expected the 300"),
        ((-6, 4, 5, 3), "found uint8 (-6, 4, 5, 3), expected uint8"),
    ],
)
def test_a_header_that_claims_something_else(tmp_path, shape, words):
    path = archive(
        tmp_path / "claims.npz",
        train=header(shape) + TRAIN.tobytes(),
        test=header(TEST.shape) + TEST.tobytes(),
    )
    tracemalloc.start()
    try:
        wrong(path, f"train: {words}")
        assert tracemalloc.get_traced_memory()[1] < 1e7
    finally:
        tracemalloc.stop()


def test_truncated_and_changed(tmp_path):
    path = write(tmp_path / "images.npz", **GOOD)
    content = path.read_bytes()
    for part in (0, 10, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:part])
        wrong(path, "truncated or not readable (", "expected an npz file")
    path.write_bytes(content.replace(TRAIN.tobytes(), TRAIN[::-1].tobytes()))
    wrong(path, "truncated or not readable (Bad CRC-32 for file 'train.npy')")
    for name in ("text", "npy"):
        path.write_bytes(b"no archive" if name == "text" else header(TRAIN.shape) + TRAIN.tobytes())
        wrong(path, "truncated or not readable (File is not a zip file)")
    wrong(
        archive(path, train=b"\x93NUMPY\x09\x00rest", test=b""),
        "train: found npy format (9, 0), expected one of numbers",
    )
    wrong(archive(path, train=header((1, 2, 2))[:30], test=b""), "truncated or not readable (EOF")
