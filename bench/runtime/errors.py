"""The one error a person sees: a line that names the key or file, what was found and what was expected."""

import contextlib
import difflib


class BenchError(Exception):
    """A mistake in the input (configuration, file, command line), told in one line without a traceback."""


def reason(error):
    """What a foreign exception says, on one line of at most 120 characters; its type's name where it says nothing."""
    return " ".join(str(error).split())[:120] or type(error).__name__


@contextlib.contextmanager
def one_line(fault, ending=""):
    """Turns any failure into one line: `fault`, what the failure says in brackets, and `ending` where there is one.

    For a `with` statement or as a decorator. Raises BenchError from the failure; one raised inside stays as it is.
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
    """A BenchError saying that `name` is no `kind`, with the nearest known name and the list of them."""
    known = sorted(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return BenchError(f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})")
