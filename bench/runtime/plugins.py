"""Classes that are found by name: in a folder of this tree, or from outside it by an entry point
or as `package.module:Class`.
"""

import importlib.util
import os
import pkgutil
import traceback
from collections.abc import Collection, Iterable
from importlib.metadata import EntryPoint, entry_points

from bench.runtime.errors import BenchError, reason, unknown


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
    if ":" in name:
        point = EntryPoint(name, name, group)
    else:
        points = entry_points(group=group)
        if name not in points.names:
            raise unknown(kind, name, {*known, *points.names})
        (point,) = points.select(name=name)
    try:
        plugin = point.load()
    except BenchError:
        raise
    except Exception as error:  # whatever a module does when it is imported
        raise BenchError(
            f"{kind} {name!r} cannot be imported ({reason(error)}); expected package.module:Class "
            "of an installed package, or of a folder that PYTHONPATH names"
        ) from error
    if not (isinstance(plugin, type) and issubclass(plugin, base)):
        raise BenchError(
            f"{kind} {name!r}: expected a subclass of {base.__module__}.{base.__name__}, "
            f"found {plugin!r}"
        )
    return plugin
