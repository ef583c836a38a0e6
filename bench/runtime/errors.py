"""The one error that a person sees: a line with the key or file, what was expected and found."""

import contextlib
import difflib


class BenchError(Exception):
    """A mistake in the input (configuration, file, command line), told in one line."""


def reason(error):
    """What a foreign exception says, in at most 120 characters; else its type's name."""
    return " ".join(str(error).split())[:120] or type(error).__name__


@contextlib.contextmanager
def one_line(fault, ending=""):
    """Turns a failure inside a `with` block into a line: `fault` (what it says); `ending`.

    Also a decorator. Raises BenchError from the failure. A BenchError from inside stays as it is.
    """
    try:
        yield
    except BenchError:
        raise
    except (
        Exception
    ) as error:  # libraries that read files have many of their own, with no common class
        raise BenchError(
            f"{fault} ({reason(error)})" + (f"; {ending}" if ending else "")
        ) from error


def unknown(kind, name, known):
    """A BenchError: `name` is no `kind`. It gives the nearest known name and all of them."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return BenchError(f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})")
