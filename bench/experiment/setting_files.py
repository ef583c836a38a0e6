"""Where the settings of an experiment are, and how they are read.

`settings` is a list of files, by name or path. A setting may be like another but for some keys:

    like: digits                    # a setting beside this one, or of workflows/settings/
    mean: {train: {steps: 250}}

Its own keys count. A key of a mapping replaces that key alone, and `null` takes one away. Such
settings need no file: `settings` may be a mapping of them, {name: keys}.
"""

from pathlib import Path
from typing import Any

from bench.experiment import additions, strict
from bench.runtime.errors import BenchError, shown, unknown

FOLDER = Path("workflows") / "settings"
LIKE = "like"


def read_all(
    entries: Any, path: str | Path, folder: str | Path
) -> dict[str, tuple[str | Path, dict[str, Any]]]:
    """{name of a setting: (what an error calls its place, its keys)} of the key `settings`.

    path: what an error calls the file that has them. folder: that of workflows/settings/.
    """
    settings = Path(folder) / FOLDER
    if isinstance(entries, dict):
        read, known = {}, {file.stem: file for file in settings.glob("*.yaml")}
        for name, own in entries.items():
            place = f"{path}: settings.{name}"
            if name in known:
                _refuse_name(f"{place}:", known[name])
            read[name] = (place, _completed(own, place, known.values()))
        return read
    return {
        name: (file, _read(file, settings)) for name, file in find(entries, path, folder).items()
    }


def are_resolved(settings: Any) -> bool:
    """Whether the key `settings` is that of a resolved file, in which no setting is like another
    one.
    """
    if not isinstance(settings, dict):
        return False
    return not any(isinstance(own, dict) and LIKE in own for own in settings.values())


def find(entries: Any, path: str | Path, folder: str | Path) -> dict[str, Path]:
    """{name of a setting: its file} of the entries of `settings`.

    path: what an error calls the file that has them. folder: that of workflows/settings/.
    """
    if not isinstance(entries, list) or not entries:
        raise BenchError(
            f"{path}: settings: expected a list of setting names, found {shown(entries)}"
        )
    settings, chosen = Path(folder) / FOLDER, {}
    for entry in map(str, entries):
        is_path = Path(entry).suffix in (".yaml", ".yml")
        file = Path(entry) if is_path else settings / f"{entry}.yaml"
        if not is_path and not file.is_file():
            raise unknown("setting", entry, [other.stem for other in settings.glob("*.yaml")])
        known = settings / f"{file.stem}.yaml"
        if known.is_file() and file.resolve() != known.resolve():
            _refuse_name(f"{path}: settings: {shown_path(file)}", known)
        if file.stem in chosen:
            raise BenchError(
                f"{path}: settings: expected no repetitions, found {shown_path(chosen[file.stem])} "
                f"and {shown_path(file)}"
            )
        chosen[file.stem] = file
    return chosen


def _refuse_name(what, known):
    """BenchError about a setting, `what`, that has the name of the one in the file `known`."""
    raise BenchError(
        f"{what} has the name of {shown_path(known)}, and would take over results/{known.stem}/; "
        "rename it"
    )


def _read(file, settings):
    """The keys of the setting in `file`. settings: the folder of the settings that have names."""
    own = strict.read(file)
    others = {}
    if LIKE in own:
        for place in (*settings.glob("*.yaml"), *file.parent.glob("*.yaml")):
            other = others.setdefault(place.stem, place)
            if place.stem == own[LIKE] and other.resolve() != place.resolve():
                raise BenchError(
                    f"{shown_path(file)}: {LIKE}: {own[LIKE]} is {shown_path(other)} and "
                    f"{shown_path(place)}; rename the second"
                )
        others.pop(file.stem, None)
    return _completed(own, shown_path(file), others.values())


def _completed(own, place, others):
    """The keys of a setting, with those of the one that it is like.

    place: what an error calls it. others: files of settings that it may be like. BenchError if that
    one is not there, or is itself like a third, and for a key that adds to a list.
    """
    if not isinstance(own, dict):
        raise BenchError(f"{place}: expected a mapping of keys, found {shown(own)}")
    _, added = additions.split(own)
    if added:
        raise BenchError(
            f"{place}: {'.'.join(_first_key(added))}: adds to a list, as only an overlay can; "
            "expected the whole list in a setting"
        )
    if LIKE not in own:
        return own
    own = dict(own)
    name, names = own.pop(LIKE), {file.stem: file for file in others}
    if not isinstance(name, str) or name not in names:
        raise BenchError(f"{place}: {LIKE}: {unknown('setting', name, names)}")
    other = strict.read(names[name])
    if LIKE in other:
        raise BenchError(
            f"{place}: {LIKE}: {name} is itself like {shown(other[LIKE])}; "
            f"expected a setting without the key {LIKE}"
        )
    return merged(other, own)


def _first_key(mapping: dict[str, Any]) -> list[str]:
    """The names that lead to the first value that is no mapping."""
    key, value = next(iter(mapping.items()))
    return [str(key), *(_first_key(value) if isinstance(value, dict) and value else [])]


def merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`values` with `changes`. Those of a mapping replace its keys one by one; None takes a key
    away.
    """
    result = dict(values)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def shown_path(path: str | Path) -> Path:
    """The path relative to the working folder, if it is inside that."""
    path = Path(path)
    inside = path.is_absolute() and path.is_relative_to(Path.cwd())
    return path.relative_to(Path.cwd()) if inside else path
