"""Classes and modules that are found by name: in a folder of this tree, or from outside it by an
entry point or as `package.module:Object`.
"""

import importlib.util
import os
import pkgutil
import re
import traceback
from collections.abc import Collection, Iterable
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from bench.runtime.errors import BenchError, reason, unknown

PLACE = "of an installed package, or of a folder that PYTHONPATH names"
# package.module, package.module:Object or module:Object
REFERENCE = re.compile(r"\w+(\.\w+)+|\w+(\.\w+)*:\w+(\.\w+)*", re.ASCII)


def import_folder(package: str, folders: Iterable[str], but: Collection[str] = ()) -> None:
    """Imports the modules of a package, except those that `but` names.

    folders: the package's `__path__`. BenchError for the first module that cannot be imported; it
    names the file and the line.
    """
    for module in pkgutil.iter_modules(folders):
        if module.name in but:
            continue
        try:
            importlib.import_module(f"{package}.{module.name}")
        except BenchError:
            raise
        except Exception as error:  # whatever a module does when it is imported
            file = importlib.util.find_spec(f"{package}.{module.name}").origin
            raise BenchError(
                f"{_place(error, file)}: cannot be imported "
                f"({type(error).__name__}: {getattr(error, 'msg', reason(error))})"
            ) from error


def _place(error, file):
    """The file and the line that an error is about: of a SyntaxError, or the last of `file`."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    if isinstance(error, SyntaxError) and error.lineno:
        file, lines = error.filename, [error.lineno]
    return f"{os.path.relpath(file)}, line {lines[-1]}" if lines else os.path.relpath(file)


def load(kind: str, group: str, base: type, name: str, known: Iterable[str]) -> type:
    """The subclass of `base` that `name` stands for.

    Parameters
    ----------
    kind : what it is called in an error, such as 'metric'.
    group : the group of entry points to look in, such as 'bench.metrics'.
    name : `package.module:Class`, or the name of an entry point of the group.
    known : names that an error lists beside those of the entry points.

    Raises BenchError if there is no such class, or if it cannot be imported.
    """
    point = _point(kind, group, name, known, ":" in name)
    plugin = _loaded(kind, point, "package.module:Class")
    if not (isinstance(plugin, type) and issubclass(plugin, base)):
        raise BenchError(
            f"{kind} {name!r}: expected a subclass of {base.__module__}.{base.__name__}, "
            f"found {plugin!r}"
        )
    return plugin


def load_module(
    kind: str, group: str, package: str, own: Collection[str], functions: Iterable[str], name: str
) -> ModuleType | Any:
    """What `name` stands for: a module of `package`, or something with the same functions.

    Parameters
    ----------
    kind : what it is called in an error, such as 'extractor'.
    group : the group of entry points to look in, such as 'bench.extractors'.
    package : where the modules of this tree are.
    own : their names, which count before entry points.
    functions : what it must have.
    name : one of `own`; or an entry point; or `package.module`, `package.module:Object` or
        `module:Object`.

    Raises BenchError if there is no such module, if it cannot be imported, or if it lacks a
    function.
    """
    if name in own:
        return importlib.import_module(f"{package}.{name}")
    point = _point(kind, group, name, own, REFERENCE.fullmatch(name) is not None)
    plugin = _loaded(kind, point, "package.module or package.module:Object")
    for function in functions:
        if not callable(getattr(plugin, function, None)):
            raise BenchError(
                f"{kind} {name!r}: {function}: missing; expected a function that {point.value} "
                f"has, as the modules of {package} have"
            )
    return plugin


def is_outside(group: str, name: str) -> bool:
    """Whether a name can be of another package: a reference, or an entry point of the group."""
    return REFERENCE.fullmatch(name) is not None or name in entry_points(group=group).names


def _point(kind, group, name, known, is_reference):
    """The entry point called `name`, or one of that value if it is a reference.

    BenchError that lists all names if there is none.
    """
    if is_reference:
        return EntryPoint(name, name, group)
    points = entry_points(group=group)
    if name not in points.names:
        raise unknown(kind, name, {*known, *points.names})
    (point,) = points.select(name=name)
    return point


def _loaded(kind, point, expected):
    """What an entry point stands for; BenchError if it cannot be imported."""
    try:
        return point.load()
    except BenchError:
        raise
    except Exception as error:  # whatever a module does when it is imported
        raise BenchError(
            f"{kind} {point.name!r} cannot be imported ({reason(error)}); expected {expected} "
            f"{PLACE}"
        ) from error
