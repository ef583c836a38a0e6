"""Python pickles of arrays and containers, read without running any code.

A pickle is a program: it may call any function that can be imported. Here it can call only four
functions, all of this module. The worst that it can do is to build a strange value. Refusing other
names (`find_class`) is not enough for that: an opcode may fetch what other code registered with
copyreg, and the state given to a numpy dtype may claim flags and fields with which numpy takes
bytes of the file for pointers. So the opcodes are a list too, and the state of dtypes and arrays is
checked before numpy sees it.
"""

import io
import pickle
import re
from io import BufferedIOBase
from typing import Any

import numpy as np

from bench.runtime.errors import BenchError, reason

OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK DUP PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET MEMOIZE
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT
    STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8
    UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8
    TUPLE EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 LIST EMPTY_LIST APPEND APPENDS
    DICT EMPTY_DICT SETITEM SETITEMS
    EMPTY_SET ADDITEMS FROZENSET
    GLOBAL STACK_GLOBAL REDUCE BUILD
"""
CODES = {getattr(pickle, opcode)[0] for opcode in OPCODES.split()}


def read(file: BufferedIOBase, name: str, encoding: str = "bytes") -> Any:
    """The value in an open binary file: containers, numbers, strings, and arrays of numbers.

    name: the file's name in errors. encoding: of Python 2's strings, which stay bytes by default.
    Raises BenchError if the pickle is truncated or corrupt, or asks for anything else. Errors of
    reading the file itself (OSError and the like) pass through.
    """
    # From memory a length that the pickle invents cannot ask for more than there is.
    content = io.BytesIO(file.read())
    try:
        return _Unpickler(content, encoding=encoding).load()
    except Exception as error:
        why = "it ends early" if isinstance(error, EOFError) else reason(error)
        raise BenchError(
            f"{name}: not a readable pickle ({why}); expected arrays and containers only"
        ) from error


def _reconstruct(kind, shape, code):
    """Numpy's function of this name, as numpy calls it: an empty array, whose state follows."""
    if kind is not _NDARRAY or shape != (0,) or code not in ("b", b"b"):
        raise pickle.UnpicklingError("_reconstruct with arguments that are not numpy's")
    return np.empty(0, np.int8)


def _dtype(code, align=False, copy=True):
    """A dtype of numbers, always a copy: its state follows, and all arrays share the original."""
    code = _text(code)
    if not re.fullmatch(r"[biufc][0-9]{1,2}", code):
        raise pickle.UnpicklingError(f"dtype {code[:40]!r} refused, numbers only")
    return np.dtype(code, False, True)


def _encode(text, encoding):
    """Bytes, as Python 3 writes them in protocol 2. Only latin1: another codec could run code."""
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError("_codecs.encode refused for a codec other than latin1")
    return text.encode("latin1")


def _empty_bytes():
    """Empty bytes, as Python 3 writes them in protocol 2."""
    return b""


def _text(value):
    """A string, which is bytes if Python 2 wrote it."""
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


# The class is only ever an argument of _reconstruct: a mark in its place cannot be called.
_NDARRAY = "numpy.ndarray"

NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _empty_bytes,
    ("builtins", "bytes"): _empty_bytes,
}


class _Unpickler(pickle._Unpickler):
    """The unpickler in Python: the one in C has no table of opcodes. Long strings are as fast."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for. The module is never imported; a dotted name is just a name."""
        if (module, name) not in NAMES:
            raise pickle.UnpicklingError(f"{f'{module}.{name}'[:80]!r} refused")
        return NAMES[module, name]

    def load_build(self) -> None:
        """Gives an array or a dtype its state; nothing else has one."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, np.dtype):
            target.__setstate__(_dtype_state(state))
        elif type(target) is np.ndarray:
            target.__setstate__(_array_state(state))
        else:
            raise pickle.UnpicklingError(f"state for {type(target).__name__} refused")

    def load_refused(self) -> None:
        """Refuses every opcode that is not listed."""
        raise pickle.UnpicklingError("unknown or refused opcode")

    dispatch = dict.fromkeys(range(256), load_refused)
    dispatch.update(
        (code, load) for code, load in pickle._Unpickler.dispatch.items() if code in CODES
    )
    dispatch[pickle.BUILD[0]] = load_build


def _dtype_state(state):
    """The state of a dtype of numbers, of which only the byte order is free."""
    version, order, *rest = state
    if (
        version not in (3, 4)
        or _text(order) not in ("<", ">", "|")
        or rest != [None, None, None, -1, -1, 0]
    ):
        raise pickle.UnpicklingError("state of a dtype that is not of plain numbers")
    return 3, _text(order), None, None, None, -1, -1, 0


def _array_state(state):
    """The state of an array of numbers: version, shape, dtype, order, bytes."""
    version, shape, dtype, fortran, raw = state
    if (
        version != 1
        or not isinstance(dtype, np.dtype)
        or not isinstance(raw, (bytes, str))
        or not isinstance(shape, tuple)
        or any(type(side) is not int or side < 0 for side in shape)
    ):
        raise pickle.UnpicklingError("state of an array that is not of plain numbers")
    return 1, shape, dtype, bool(fortran), raw.encode("latin1") if isinstance(raw, str) else raw
