"""Where the settings of an experiment are, and how their files are read.

A setting may be like another but for some keys:

    like: digits                    # a setting beside this one, or of workflows/settings/
    mean: {train: {steps: 250}}

Its own keys count. A key of a mapping replaces that key alone, and `null` takes one away.
"""

from pathlib import Path
from typing import Any

from bench.experiment import additions, strict
from bench.runtime.errors import BenchError, shown, unknown

FOLDER = Path("workflows") / "settings"
LIKE = "like"


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
            raise BenchError(
                f"{path}: settings: {shown_path(file)} has the name of {shown_path(known)}, and "
                f"would take over results/{file.stem}/; rename it"
            )
        if file.stem in chosen:
            raise BenchError(
                f"{path}: settings: expected no repetitions, found {shown_path(chosen[file.stem])} "
                f"and {shown_path(file)}"
            )
        chosen[file.stem] = file
    return chosen


def read(file: Path, settings: Path) -> dict[str, Any]:
    """The keys of the setting in `file`, with those of the one that it is like.

    settings: the folder of the settings that have names. BenchError if the other one is not there,
    or is itself like a third, and for a key that adds to a list.
    """
    own = strict.read(file)
    _, added = additions.split(own)
    if added:
        raise BenchError(
            f"{shown_path(file)}: {'.'.join(_first_key(added))}: adds to a list, as only an "
            "overlay can; expected the whole list in a setting"
        )
    if LIKE not in own:
        return own
    name = own.pop(LIKE)
    names = {}
    for place in (*settings.glob("*.yaml"), *file.parent.glob("*.yaml")):
        other = names.setdefault(place.stem, place)
        if place.stem == name and other.resolve() != place.resolve():
            raise BenchError(
                f"{shown_path(file)}: {LIKE}: {name} is {shown_path(other)} and "
                f"{shown_path(place)}; rename the second"
            )
    names.pop(file.stem, None)
    if not isinstance(name, str) or name not in names:
        raise BenchError(f"{shown_path(file)}: {LIKE}: {unknown('setting', name, names)}")
    other = strict.read(names[name])
    if LIKE in other:
        raise BenchError(
            f"{shown_path(file)}: {LIKE}: {name} is itself like {shown(other[LIKE])}; "
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
