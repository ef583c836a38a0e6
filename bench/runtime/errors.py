"""The one error that a person sees: a line with the key or file, what was expected and found."""

import contextlib
import difflib
import reprlib
from collections.abc import Iterable, Iterator

LONGEST = 80  # characters of a value in an error

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = LONGEST
_short.maxlevel = 3


class BenchError(Exception):
    """A mistake in the input (configuration, file, command line), described in one line."""


def reason(error: object) -> str:
    """The message of another library's error, at most 120 characters; its type if it has none."""
    return " ".join(str(error).split())[:120] or type(error).__name__


def unexpected(error: Exception) -> str:
    """One line for an error that nobody foresaw."""
    kind = type(error).__name__
    message = f"{kind}: {reason(error)}" if str(error).strip() else kind
    return f"unexpected error: {message}; run again with --debug for the traceback"


def shown(value: object) -> str:
    """The repr of a value that was found, shortened in the middle to about `LONGEST` characters."""
    text = _short.repr(value)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}...{text[-LONGEST // 4 :]}"
    return text


def dotted(keys: Iterable[object]) -> str:
    """Keys of mappings in mappings as one. Long ones are shortened, strange ones quoted."""
    words = map(str, keys)
    return ".".join(
        word if len(word) <= LONGEST and word.isprintable() else shown(word) for word in words
    )


def problem(error: object) -> str:
    """The first problem of a pydantic.ValidationError: the key, and what was expected and found."""
    first = error.errors(include_url=False)[0]
    key = dotted(first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        message = "missing"
    elif first["type"] != "value_error":
        message = f"{message[0].lower()}{message[1:]}, found {shown(first['input'])}"
    return f"{key}: {message}" if key else message


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
    return BenchError(f"unknown {kind} {shown(name)}{hint} (known: {', '.join(names)})")
