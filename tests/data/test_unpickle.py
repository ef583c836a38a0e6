"""Pickles of arrays and containers: read as Python's own unpickler reads them, everything else
refused unrun.
"""

import builtins
import codecs
import copyreg
import io
import os
import pickle

import numpy as np
import pytest

from bench.data import unpickle
from bench.runtime.errors import BenchError
from tests.helpers.pickles import Call, python2

ARRAYS = [
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(5, dtype=">i4"),
    np.array([True, False]),
    np.array([1 + 2j, -3j], dtype=np.complex64),
    np.arange(100000, dtype=np.uint16),
    np.array(3.5),
    np.zeros((0, 3), dtype=np.float32),
]


def read(content, **options):
    return unpickle.read(io.BytesIO(content), "some.pkl", **options)


def refused(content, *words):
    """Asserts that reading is one line that begins with the file, holds the words and says what is
    expected.
    """
    with pytest.raises(BenchError) as caught:
        read(content)
    line = str(caught.value)
    assert line.startswith("some.pkl: ") and line.endswith("expected arrays and containers only"), (
        line
    )
    assert "\n" not in line and len(line) < 250 and all(word in line for word in words), line


@pytest.mark.parametrize(
    "dump",
    [python2, *(lambda value, p=p: pickle.dumps(value, protocol=p) for p in range(5))],
    ids=["python2", *map(str, range(5))],
)
@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_arrays_agree_with_numpy(array, dump):
    content = dump(array)
    ours, theirs = read(content), pickle.loads(content, encoding="bytes")
    assert type(ours) is np.ndarray and ours.dtype == theirs.dtype and ours.shape == array.shape
    assert (
        ours.flags.f_contiguous == array.flags.f_contiguous
        and (ours == array).all()
        and (theirs == array).all()
    )


def test_containers():
    array = np.arange(3)
    value = {
        "a": [1, -(2**70), 2.5, None, True, "ü"],
        b"b": (b"\xff", b"", array, array),
        3: {},
        (): {1, 2},
    }
    for protocol in (2, 3, 4):
        known = {**value} if protocol == 4 else {key: value[key] for key in value if key != ()}
        back = read(pickle.dumps(known, protocol=protocol))
        (raw, empty, one, two), (*_, text) = back.pop(b"b"), back["a"]
        assert (
            raw == b"\xff" and empty == b"" and text == "ü" and one is two and (one == array).all()
        )
        known.pop(b"b")
        assert back == known


def test_strings_of_python_2():
    content = python2({"data": "caf\xe9", "n": np.arange(3)})
    assert read(content)[b"data"] == b"caf\xe9"
    back = read(content, encoding="latin1")
    assert back["data"] == "caf\xe9" and (back["n"] == np.arange(3)).all()


def test_hostile_calls_run_nothing(tmp_path):
    marker = tmp_path / "marker"
    np.save(tmp_path / "some.npy", np.arange(3))
    system = Call(os.system, f"touch {marker}")
    calls = [
        system,
        Call(builtins.eval, f"open({str(marker)!r}, 'w')"),
        Call(builtins.__import__, "this"),
        Call(np.load, str(tmp_path / "some.npy")),
        Call(np.ndarray.tofile, np.arange(3), str(marker)),
        Call(codecs.lookup, "rot13"),
    ]
    for protocol in (2, 4):
        for call in calls:
            refused(pickle.dumps(call, protocol=protocol), "refused")
            refused(pickle.dumps([1, {"a": call}], protocol=protocol), "refused")
    refused(pickle.dumps(system, protocol=2), "'posix.system' refused")
    refused(
        b"c__builtin__\ngetattr\n(cnumpy\ndtype\nS'newbyteorder'\ntR.",
        "'__builtin__.getattr' refused",
    )
    assert not marker.exists()
    pickle.loads(pickle.dumps(system))
    assert marker.exists()  # it would have run


def name(module, attribute):
    """Opcodes of protocol 4 that fetch a global by its name."""
    strings = (text.encode() for text in (module, attribute))
    return b"\x80\x04" + b"".join(b"\x8c" + bytes([len(text)]) + text for text in strings) + b"\x93"


@pytest.mark.parametrize(
    "module, attribute",
    [
        ("numpy", "ndarray.tofile"),
        ("numpy", "dtype.__class__"),
        ("numpy", "f2py.os.system"),
        ("numpy", "load"),
        ("numpy.f2py.diagnose", "run"),
        ("numpy.core.multiarray", "_reconstruct.__self__"),
        ("_codecs", "encode.__call__"),
        ("numpy.core.multiarray", "scalar"),
        ("bench.data.unpickle", "read"),
        ("", ""),
        ("numpy ", "dtype"),
    ],
)
def test_other_names(module, attribute):
    refused(name(module, attribute) + b".", f"'{module}.{attribute}' refused")


def test_a_name_stays_one_short_line():
    refused(name("os\n\u2028\x1b[2J", "x" * 200) + b".", "'os\\n\\u2028\\x1b[2J.xxx")


# an array and its dtype whose states follow, to end in BUILD
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
DTYPE = b"cnumpy\ndtype\n(S'%s'\nI00\nI01\ntR"


def state(value):
    return pickle.dumps(value, protocol=2)[2:-1]


@pytest.mark.parametrize(
    "content",
    [
        ARRAY.replace(b"I0", b"I9"),
        ARRAY.replace(b"S'b'", b"S'O'"),
        ARRAY.replace(b"cnumpy\nndarray\n", b"S'x'\n"),
        ARRAY.replace(b"cnumpy\nndarray\n", b"cnumpy\ndtype\n"),
        b"cnumpy.core.multiarray\n_reconstruct\n(tR",
        b"cnumpy\nndarray\n((I2\ntS'O'\ntR",
        b"cnumpy\nndarray\n((I2\nt\x81",
        DTYPE % b"O8",
        DTYPE % b"V8",
        DTYPE % b"i4,O",
        DTYPE % b"M8[s]",
        DTYPE % b"u3",
        b"cnumpy\ndtype\n(cnumpy\ndtype\ntR",
        DTYPE % b"u1" + state((3, "|", None, None, None, -1, -1, 63)) + b"b",
        DTYPE % b"u1" + state((3, "|", None, ("a",), {"a": (1, 0)}, 8, 1, 0)) + b"b",
        DTYPE % b"u1" + state((3, "?", None, None, None, -1, -1, 0)) + b"b",
        DTYPE % b"u1" + state({"a": 1}) + b"b",
        ARRAY + b"(I1\n(I4\nt" + DTYPE % b"u1" + b"I00\nS'abc'\ntb",
        ARRAY + b"(I1\n(I-2\nI-2\nt" + DTYPE % b"u1" + b"I00\nS'abcd'\ntb",
        ARRAY + b"(I1\n(I1\nt" + DTYPE % b"u8" + b"I00\n]I1\natb",
        ARRAY + state({"a": 1}) + b"b",
        b"c_codecs\nencode\n(S'a'\nS'rot13'\ntR",
        b"c_codecs\nencode\n(Va\nVidna\ntR",
        b"c_codecs\nencode\n(Va\nVlatin1\nVignore\ntR",
        b"c__builtin__\nbytes\n(I99\ntR",
        b"c__builtin__\nbytes\n}S'a'\nI1\nsb",
        b"]}b",
        b"S'a'\n(tR",
    ],
)
def test_odd_arguments_and_states(content):
    refused(content + b".")


def test_the_states_above_are_right_but_for_their_oddity():
    number = DTYPE % b"u2" + state((3, ">", None, None, None, -1, -1, 0)) + b"b"
    back = read(ARRAY + b"(I1\n(I2\nt" + number + b"I00\nS'\\x00\\x01\\x01\\x00'\ntb.")
    assert back.dtype == np.uint16 and back.tolist() == [1, 256]
    assert np.dtype(np.uint16).isnative  # the one that all arrays share


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, "a", None], dtype=object),
        np.zeros(2, dtype=[("a", "f8"), ("b", "O")]),
        np.array(["a"]),
        np.array(["2020"], dtype="M8[D]"),
        np.zeros(3).view(np.recarray),
        np.ma.array([1]),
        np.float64(3),
    ],
)
def test_other_arrays(array):
    refused(python2(array), "refused")


def test_object_array_of_a_hostile_object(tmp_path):
    marker = tmp_path / "marker"
    array = np.empty(1, dtype=object)
    array[0] = Call(os.system, f"touch {marker}")
    for content in (python2(array), pickle.dumps(array, protocol=4)):
        refused(content, "refused")
    assert not marker.exists()


def test_registered_extensions():
    """An unpickler takes what copyreg holds already, without asking for a name."""
    copyreg.add_extension("os", "getcwd", 200)
    try:
        for code in (b"\x82\xc8", b"\x83\xc8\x00", b"\x84\xc8\x00\x00\x00"):
            assert pickle.loads(b"\x80\x02" + code + b")R.") == os.getcwd()
            refused(b"\x80\x02" + code + b")R.", "opcode")
    finally:
        copyreg.remove_extension("os", "getcwd", 200)


@pytest.mark.parametrize(
    "content",
    [
        b"Psomething\n.",
        b"S'something'\nQ.",
        b"(inumpy\ndtype\n.",
        b"(cos\nsystem\nS'true'\no.",
        b"\x96\x01" + bytes(7) + b"a.",
        b"\x97.",
        b"\xff.",
        b"cnumpy\nndarray\n)}\x92.",
    ],
)
def test_refused_opcodes(content):
    refused(content)


def test_truncated_and_corrupt():
    content = python2({"data": np.arange(10), "labels": [1, 2]})
    for length in range(len(content)):
        refused(content[:length])
    refused(b"not a pickle")
    refused(b"\x80\x02T\xff\xff\xff\x7fabc.", "it ends early")
    refused(b"\x8e" + b"\xff" * 8 + b"abc.")
    refused(b"}]K\x01s.", "unhashable")
