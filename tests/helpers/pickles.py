"""Pickles as Python 2 writes them, and pickles that call a function."""

import io
import pickle


class Python2Pickler(pickle._Pickler):  # the one in Python, which has no public name
    """Writes as Python 2 does in protocol 2: strings and bytes are one type, and numpy's core has
    its old name.
    """

    def save_string(self, value):
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)
        self.memoize(value)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_string, str: save_string}


def python2(value):
    """The pickle that Python 2 makes of a value."""
    file = io.BytesIO()
    Python2Pickler(file, protocol=2, fix_imports=True).dump(value)
    return file.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


class Call:
    """Pickles as the call function(*arguments)."""

    def __init__(self, function, *arguments):
        self.parts = (function, arguments)

    def __reduce__(self):
        return self.parts
