"""Classes from outside this tree: by an entry point, or as `package.module:Class`."""

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from bench.runtime.errors import BenchError, reason, unknown


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
    except Exception as error:  # whatever a module does when it is imported
        raise BenchError(
            f"{kind} {name!r} cannot be imported ({reason(error)}); expected package.module:Class "
            "of an installed package, or of a folder that PYTHONPATH names"
        ) from error
    if not (isinstance(plugin, type) and issubclass(plugin, base) and plugin.name):
        raise BenchError(
            f"{kind} {name!r}: expected a subclass of {base.__module__}.{base.__name__} "
            f"that has a name, found {plugin!r}"
        )
    return plugin
