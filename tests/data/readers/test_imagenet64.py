"""ImageNet at 64×64 from a few images made here, in both of its forms, and what is refused."""

import shutil
import tracemalloc
import zipfile

import numpy as np
import pytest
from PIL import Image

from bench.data import dataset
from bench.data.readers import imagenet64
from bench.runtime.errors import BenchError
from tests.helpers.models import whole

NAMES = [*imagenet64.TRAIN, "val_data.npz"]
RANDOM = np.random.default_rng(0)
ROWS = {
    name: RANDOM.integers(0, 256, size=(2 + index % 2, 12288)).astype(np.uint8)
    for index, name in enumerate(NAMES)
}
LABELS = {name: RANDOM.integers(1, 1001, size=len(rows)) for name, rows in ROWS.items()}
PARTS = {
    "Imagenet64_train_part1_npz": NAMES[:5],
    "Imagenet64_train_part2_npz": NAMES[5:10],
    "Imagenet64_val_npz": NAMES[10:],
}


def placed(folder, **changed):
    """The batches in a folder; what is changed is for data_batch_7: an array None is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in ROWS.items():
        arrays = {"data": rows, "labels": LABELS[name], "mean": rows.mean(0)} | (
            changed if name == NAMES[6] else {}
        )
        np.savez(
            folder / name, **{key: array for key, array in arrays.items() if array is not None}
        )
    return folder


def expected(names):
    """By the definition of the layout: channel, row and column of an image from the place in its
    row.
    """
    rows = np.concatenate([ROWS[name] for name in names])
    channel, row, column = np.indices((3, 64, 64))
    return rows[:, channel * 4096 + row * 64 + column]


def wrong(path, *words):
    """Asserts that preparing is one line that begins with the path and holds the words, and leaves
    nothing.
    """
    with pytest.raises(BenchError) as caught:
        dataset.prepare("imagenet64", path.parent / "out" / "data", {"path": str(path)})
    line = str(caught.value)
    assert (
        line.startswith(f"data.path: {path}: ")
        and "\n" not in line
        and all(word in line for word in words)
    ), line
    assert not (path.parent / "out" / "data").exists()


@pytest.mark.parametrize("form", ["batches", "folders", "zip", "zip, stored"])
def test_batches(tmp_path, form):
    """Training images in the order of the batches' numbers, 10 after 9; labels from 0."""
    folder = placed(tmp_path / "images")
    for part, names in PARTS.items() if form != "batches" else ():
        (folder / part).mkdir()
        for name in names:
            shutil.move(folder / name, folder / part / name)
        if form != "folders":
            method = zipfile.ZIP_STORED if "stored" in form else zipfile.ZIP_DEFLATED
            with zipfile.ZipFile(folder / f"{part}.zip", "w", method) as archive:
                for name in names:
                    archive.write(folder / part / name, f"{part}/{name}" if "1" in part else name)
            shutil.rmtree(folder / part)
    raw = imagenet64.read(str(folder))
    assert (
        raw.levels == 256
        and raw.train.shape == (25, 3, 64, 64)
        and raw.train_labels.dtype == np.int64
    )
    assert (whole(raw.train) == expected(NAMES[:10])).all() and (
        whole(raw.test) == expected(NAMES[10:])
    ).all()
    assert (raw.train_labels == np.concatenate([LABELS[name] for name in NAMES[:10]]) - 1).all()
    assert (raw.test_labels == LABELS["val_data.npz"] - 1).all()


def test_pngs(tmp_path):
    """In the order of their names, without labels."""
    pixels = RANDOM.integers(0, 256, size=(5, 64, 64, 3)).astype(np.uint8)
    names = [
        "train_64x64/0000002",
        "valid_64x64/9",
        "train_64x64/0000001",
        "train_64x64/0000010",
        "valid_64x64/8",
    ]
    for name, image in zip(names, pixels, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    (tmp_path / "train_64x64" / "._0000001.png").write_bytes(b"hidden")
    (tmp_path / "train_64x64" / "list.txt").write_text("not read")
    dataset.prepare("imagenet64", tmp_path / "data", {"path": str(tmp_path)})
    data = dataset.load(tmp_path / "data")
    assert (
        data.train == pixels[[2, 0, 3]].transpose(0, 3, 1, 2)
    ).all() and data.train_labels is None
    assert (data.test == pixels[[4, 1]].transpose(0, 3, 1, 2)).all() and data.levels == 256
    assert list(dataset.options("imagenet64").model_fields) == ["path"]


def test_a_batch_is_never_in_memory(tmp_path, monkeypatch):
    """Of a batch of 18 MB inside a zip file.

    Zipfile looks for a place in it in steps of 16 MB otherwise.
    """
    monkeypatch.setattr(zipfile.ZipExtFile, "MAX_SEEK_READ", 1 << 20)
    folder = placed(
        tmp_path / "images",
        data=np.zeros((1500, 12288), np.uint8),
        labels=np.ones(1500, np.int64),
        mean=None,
    )
    with zipfile.ZipFile(
        folder / "Imagenet64_train_part2_npz.zip", "w", zipfile.ZIP_DEFLATED
    ) as archive:
        archive.write(folder / NAMES[6], NAMES[6])
    (folder / NAMES[6]).unlink()
    tracemalloc.start()
    try:
        raw = imagenet64.read(str(folder))
        assert len(raw.train) == 1523 and sum(1 for image in raw.train.each()) == 1523
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_missing(tmp_path):
    wrong(
        tmp_path / "none",
        "no such folder; expected the folders train_64x64 and valid_64x64, or "
        "Imagenet64_train_part1_",
    )
    folder = placed(tmp_path / "images")
    (folder / NAMES[0]).unlink()
    (folder / NAMES[9]).unlink()
    (folder / "train_64x64").mkdir()
    wrong(
        folder,
        "neither train_64x64 and valid_64x64 nor train_data_batch_1.npz, train_data_batch_10.npz "
        "found; expected",
    )
    (folder / "valid_64x64").mkdir()
    with pytest.raises(BenchError, match="'imagenet64': the train split is empty"):
        dataset.prepare("imagenet64", tmp_path / "data", {"path": str(folder)})


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"data": None}, "array 'data' not found; expected uint8 (n, 12288) with n ≥ 1"),
        (
            {"data": ROWS[NAMES[6]][:, :3072]},
            "data: found uint8 (2, 3072), expected uint8 (n, 12288)",
        ),
        ({"data": ROWS[NAMES[6]].astype(np.int64)}, "data: found int64 (2, 12288)"),
        ({"data": ROWS[NAMES[6]][:0]}, "data: found uint8 (0, 12288)"),
        (
            {"data": np.asfortranarray(ROWS[NAMES[6]])},
            "data: found an array in Fortran order, expected C order, one row per image",
        ),
        (
            {"labels": None},
            "array 'labels' not found; expected whole numbers of shape (2,), one per image",
        ),
        (
            {"labels": np.array([1, 2, 3])},
            "labels: found int64 (3,), expected whole numbers of shape (2,)",
        ),
        ({"labels": np.array([0, 5])}, "labels: found 0..5, expected 1..1000"),
        ({"labels": np.array([1, 1001])}, "labels: found 1..1001, expected 1..1000"),
    ],
)
def test_wrong_batches(tmp_path, changed, words):
    wrong(placed(tmp_path / "images", **changed), f"train_data_batch_7.npz: {words}")


def test_truncated(tmp_path):
    folder = placed(tmp_path / "images")
    content = (folder / NAMES[3]).read_bytes()
    for part in (0, 1000, len(content) - 10):
        (folder / NAMES[3]).write_bytes(content[:part])
        wrong(folder, "train_data_batch_4.npz: truncated or not readable (File is not a zip file)")
    changed = bytearray(content)
    changed[5000] ^= 1  # in the images, which zip has a checksum of
    (folder / NAMES[3]).write_bytes(changed)
    wrong(folder, "train_data_batch_4.npz: truncated or not readable (Bad CRC-32")
    (folder / NAMES[3]).write_bytes(content)
    (folder / "Imagenet64_val_npz.zip").write_bytes(b"PK")
    wrong(folder, "Imagenet64_val_npz.zip: truncated or not readable (")


@pytest.mark.parametrize(
    "content, words", [(b"", "cannot be decoded ("), (None, "found 32×32 pixels, expected 64×64")]
)
def test_wrong_pngs(tmp_path, content, words):
    for name in ("train_64x64/1.png", "train_64x64/2.png", "valid_64x64/1.png"):
        (tmp_path / "images" / name).parent.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (64, 64)).save(tmp_path / "images" / name)
    path = tmp_path / "images" / "train_64x64" / "2.png"
    path.write_bytes(content) if content is not None else Image.new("RGB", (32, 32)).save(path)
    wrong(tmp_path / "images", f"train_64x64/2.png: {words}")
