"""Arrays in npz files, which are zip archives of npy files, whole or a part at a time.

Before anything is read an array's header is compared with the size of its member, so that memory is
never asked for on the word of a header alone.
"""

import contextlib
import math

from numpy.lib import format as npy

from bench.runtime.errors import BenchError

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(where, archive, name, fits, expected):
    """The array `name` of an open zip archive, whose dtype and shape `fits(dtype, shape)` accepts.

    where: what an error calls the archive; expected: in words, what fits. Raises BenchError where
    there is no such array.
    """
    with opened(where, archive, name, fits, expected):
        pass
    with archive.open(f"{name}.npy") as file:
        return npy.read_array(file, allow_pickle=False)


@contextlib.contextmanager
def opened(where, archive, name, fits, expected):
    """(file, shape, whether in Fortran order, dtype) of an array as in `read`, the file open at the
    first of its values.
    """
    names = archive.namelist()
    if f"{name}.npy" not in names:
        known = ", ".join(sorted(repr(member.removesuffix(".npy")) for member in names))[:200]
        raise BenchError(
            f"{where}: array {name!r} not found; expected {expected} "
            f"(the file has: {known or 'nothing'})"
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
        size = math.prod(shape) * dtype.itemsize
        if left != size:
            raise BenchError(
                f"{where}: {name}: found {left} bytes, expected the {size} of {dtype} {shape}"
            )
        yield file, shape, fortran, dtype
