"""The one error a person sees: a line that names the key or file, what was found and what was expected."""

import difflib


class BenchError(Exception):
    """A mistake in the input (configuration, file, command line), told in one line without a traceback."""


def unknown(kind, name, known):
    """A BenchError saying that `name` is no `kind`, with the nearest known name and the list of them."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return BenchError(f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})")
