"""Arrays in npz files, which are zip archives of npy files, whole or a part at a time.

Before anything is read an array's header is compared with the size of its member, so that memory is never asked for on
the word of a header alone.
"""

import contextlib
import math
import struct
import zipfile

import numpy as np
from numpy.lib import format as npy

from bench.runtime.errors import BenchError

LOCAL_HEADER = 30  # bytes before a member of a zip archive, of which the last four are the lengths of two fields that follow
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(where, archive, name, fits, expected):
    """The array `name` of an open zip archive, whose dtype and shape `fits(dtype, shape)` accepts.

    where: what an error calls the archive; expected: in words, what fits. Raises BenchError where there is no such array.
    """
    with opened(where, archive, name, fits, expected):
        pass
    with archive.open(f"{name}.npy") as file:
        return npy.read_array(file, allow_pickle=False)


@contextlib.contextmanager
def opened(where, archive, name, fits, expected):
    """(file, shape, whether in Fortran order, dtype) of an array as in `read`, the file open at the first of its values."""
    names = archive.namelist()
    if f"{name}.npy" not in names:
        known = ", ".join(sorted(repr(member.removesuffix(".npy")) for member in names))[:200]
        raise BenchError(
            f"{where}: array {name!r} not found; expected {expected} (the file has: {known or 'nothing'})"
        )
    with archive.open(f"{name}.npy") as file:
        version = npy.read_magic(file)
        if version not in HEADERS:
            raise BenchError(
                f"{where}: {name}: found npy format {version}, expected one of numbers"
            )
        shape, fortran, dtype = HEADERS[version](file)
        if not fits(dtype, shape):
            raise BenchError(
                f"{where}: {name}: found {str(dtype)[:80]} {str(shape)[:80]}, expected {expected}"
            )
        left = archive.getinfo(f"{name}.npy").file_size - file.tell()
        if left != math.prod(shape) * dtype.itemsize:
            raise BenchError(
                f"{where}: {name}: found {left} bytes, expected the {math.prod(shape) * dtype.itemsize} "
                f"of {dtype} {shape}"
            )
        yield file, shape, fortran, dtype


def mapped(path, archive, name):
    """The array `name` of the open zip archive at `path` as a `Mapped`. Raises ValueError where it is compressed, BenchError
    where it is of objects."""
    with opened(path, archive, name, lambda dtype, shape: not dtype.hasobject, "no objects") as (
        file,
        shape,
        fortran,
        dtype,
    ):
        into = file.tell()
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    with open(path, "rb") as file:
        file.seek(member.header_offset + LOCAL_HEADER - 4)
        lengths = struct.unpack("<HH", file.read(4))
    first = member.header_offset + LOCAL_HEADER + sum(lengths) + into
    return Mapped(path, dtype, "r", first, shape, "F" if fortran else "C")


class Mapped(np.memmap):
    """A map of an array, which begins anywhere in its file. What is taken from it is a copy, and so is what is calculated
    with: numpy adds up the values of an array that is not aligned in another order, so that sums would end in other digits."""

    def __getitem__(self, index):
        return np.array(super().__getitem__(index))

    def __array_ufunc__(self, function, method, *inputs, **options):
        return getattr(function, method)(
            *(np.array(each) if isinstance(each, Mapped) else each for each in inputs), **options
        )
