"""Data sets in idx files: MNIST and those that copied its format.

An idx file begins with a magic number, which gives the type of the values and the number of
dimensions. The sizes of the dimensions follow as big-endian 32-bit integers, then the values. A
header may claim any size. So memory grows with the content of the file, not with the claim, and
the two must agree.
"""

import gzip
import math
from io import BufferedIOBase

import numpy as np
from jaxtyping import UInt8

from bench.data import members
from bench.data.dataset import Raw, Size
from bench.runtime.errors import BenchError, one_line

IMAGES = 0x00000803  # uint8 (0x08) with three dimensions (0x03)
LABELS = 0x00000801
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
SIDE = 28
CLASSES = 10
CHUNK = 1 << 20


def downloads(server: str, *md5s: str) -> list[tuple[str, dict[str, str]]]:
    """The official `DOWNLOADS`: gzipped files at `server`, with MD5 in the order of `FILES`."""
    return [(f"{server}/{name}.gz", {"md5": md5}) for name, md5 in zip(FILES, md5s, strict=True)]


def size(path: str) -> Size:
    """How large a data set of this family is as published, wherever its files are."""
    return Size((1, SIDE, SIDE), train=60000, test=10000)


def dataset(path: str, source: str, inside: str, archives: list[str]) -> Raw:
    """The MNIST-like data set at `path`, as a `Raw` of 1×28×28 images, 256 levels and labels 0..9.

    path: a folder with {train,t10k}-images-idx3-ubyte and {train,t10k}-labels-idx1-ubyte, with or
    without .gz; or an archive that has them in the folder `inside`; or a folder with such an
    archive, whose name matches one of `archives`. source: where to find these files, for the
    errors. Raises BenchError if a file is missing, truncated, or not as expected.
    """
    where, expected = f"data.path: {path}", f"the idx files from {source}"
    wanted = {f"{inside}/{name}{ending}": name for ending in ("", ".gz") for name in FILES}
    arrays = members.read(where, path, wanted, _parse, expected, archives)
    for name in FILES:
        if name not in arrays:
            raise BenchError(f"{where}: {name} not found, nor {name}.gz; expected {expected}")
    train, train_labels = _split(where, arrays, "train")
    test, test_labels = _split(where, arrays, "t10k")
    return Raw(
        train=train, test=test, levels=256, train_labels=train_labels, test_labels=test_labels
    )


def _parse(where, name, file):
    if "images" in name:
        return read(file, IMAGES, where, (SIDE, SIDE))
    return read(file, LABELS, where)


def _split(where, arrays, split):
    """Images, uint8 of shape (n, 1, 28, 28), and labels, int64 of shape (n,), of one split."""
    name = f"{split}-labels-idx1-ubyte"
    pixels, values = arrays[f"{split}-images-idx3-ubyte"], arrays[name]
    if len(values) != len(pixels):
        raise BenchError(
            f"{where}: {name}: found {len(values)} labels, expected {len(pixels)}, one per image"
        )
    if values.max() >= CLASSES:
        raise BenchError(f"{where}: {name}: found label {values.max()}, expected 0..{CLASSES - 1}")
    return pixels[:, None], values.astype(np.int64)


def read(
    file: BufferedIOBase, magic: int, where: str, sides: tuple[int, ...] = ()
) -> UInt8[np.ndarray, "n ..."]:
    """The array (n, *sides), n ≥ 1, in an idx file, which may be gzipped.

    file: buffered and open for reading. magic: the number that it must begin with. where: the
    file's name in errors. Raises BenchError if the file is truncated, longer than its header says,
    or of another kind.
    """
    with one_line(f"{where}: truncated or not readable", "expected an idx file"):
        zipped = file.peek(2)[:2] == b"\x1f\x8b"
        return _array(gzip.open(file) if zipped else file, magic, where, sides)


def _array(file, magic, where, sides):
    """The array in an open file; the content is compared with the header before it becomes one."""
    header = file.read(8 + 4 * len(sides))
    number = int.from_bytes(header[:4], "big")
    if len(header) >= 4 and number != magic:
        raise BenchError(
            f"{where}: found magic number 0x{number:08x}, expected 0x{magic:08x} of an idx file"
        )
    if len(header) < 8 + 4 * len(sides):
        raise BenchError(
            f"{where}: found {len(header)} bytes, expected an idx file with a header of "
            f"{8 + 4 * len(sides)}"
        )
    shape = tuple(np.frombuffer(header, ">u4", offset=4).tolist())
    if shape[1:] != sides or not shape[0]:
        expected = ", ".join(["n", *map(str, sides)])
        raise BenchError(f"{where}: found shape {shape}, expected ({expected}) with n ≥ 1")
    content = bytearray()
    # Reading beyond the claimed size shows a longer file, and lets gzip compare its checksum.
    while len(content) <= math.prod(shape) and (chunk := file.read(CHUNK)):
        content += chunk
    if len(content) != math.prod(shape):
        more = "more than " if len(content) > math.prod(shape) else ""
        raise BenchError(
            f"{where}: found {more}{min(len(content), math.prod(shape))} bytes of values, "
            f"expected the {math.prod(shape)} of shape {shape}"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
