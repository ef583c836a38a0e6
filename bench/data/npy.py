"""Arrays in npz files, which are zip archives of npy files, whole or a part at a time.

A header may claim any size. So it is compared with the size of the member before memory is taken
for the array.
"""

import contextlib
import math
import zipfile
from collections.abc import Callable, Iterator
from io import BufferedIOBase

import numpy as np
from numpy.lib import format as npy

from bench.runtime.errors import BenchError

Shape = tuple[int, ...]
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(
    where: str,
    archive: zipfile.ZipFile,
    name: str,
    fits: Callable[[np.dtype, Shape], bool],
    expected: str,
) -> np.ndarray:
    """The array `name` of an open zip archive, whose dtype and shape `fits(dtype, shape)` accepts.

    where: what an error calls the archive; expected: in words, what fits. Raises BenchError if
    there is no such array.
    """
    with opened(where, archive, name, fits, expected):
        pass
    with archive.open(f"{name}.npy") as file:
        return npy.read_array(file, allow_pickle=False)


@contextlib.contextmanager
def opened(
    where: str,
    archive: zipfile.ZipFile,
    name: str,
    fits: Callable[[np.dtype, Shape], bool],
    expected: str,
) -> Iterator[tuple[BufferedIOBase, Shape, bool, np.dtype]]:
    """(file, shape, whether in Fortran order, dtype) of an array as in `read`.

    The file is open at the first of the values.
    """
    names = archive.namelist()
    if f"{name}.npy" not in names:
        listed = ", ".join(sorted(repr(member.removesuffix(".npy")) for member in names))[:200]
        raise BenchError(
            f"{where}: array {name!r} not found; expected {expected} "
            f"(the file has: {listed or 'nothing'})"
        )
    if names.count(f"{name}.npy") > 1:
        raise BenchError(f"{where}: array {name!r} stands there twice; expected it once")
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
        size = math.prod(shape) * dtype.itemsize
        if left != size:
            raise BenchError(
                f"{where}: {name}: found {left} bytes, expected the {size} of {dtype} {shape}"
            )
        yield file, shape, fortran, dtype
