"""The one error that a person sees: a line with the key or file, what was expected and found."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator


class BenchError(Exception):
    """A mistake in the input (configuration, file, command line), described in one line."""


def reason(error: object) -> str:
    """The message of another library's error, at most 120 characters; its type if it has none."""
    return " ".join(str(error).split())[:120] or type(error).__name__


@contextlib.contextmanager
def one_line(fault: str, ending: str = "") -> Iterator[None]:
    """Turns a failure inside a `with` block into one line: `fault` (its message); `ending`.

    Also a decorator. Raises BenchError from the failure. A BenchError from inside stays as it is.
    """
    try:
        yield
    except BenchError:
        raise
    except Exception as error:  # libraries that read files have many, with no common class
        remedy = f"; {ending}" if ending else ""
        raise BenchError(f"{fault} ({reason(error)}){remedy}") from error


def unknown(kind: str, name: object, names: Iterable[str]) -> BenchError:
    """The error that `name` is no `kind`. It lists all `names` and suggests the nearest one."""
    names = sorted(names)
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return BenchError(f"unknown {kind} {name!r}{hint} (known: {', '.join(names)})")
