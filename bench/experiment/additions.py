"""Keys that add to a list: `variants+: [mine]` is `variants` with one more entry.

Snakemake merges an overlay into params.yaml key by key and replaces lists. A key that ends in `+`
stays beside the list that it adds to. If two overlays add to the same list, the last one counts.
"""

from bench.runtime.errors import BenchError, unknown


def split(mapping: dict) -> tuple[dict, dict]:
    """(`mapping` without its keys that end in `+`, a mapping of these alone), at every depth."""
    plain, added = {}, {}
    for key, value in mapping.items():
        if str(key).endswith("+"):
            added[key] = value
        elif isinstance(value, dict):
            plain[key], inner = split(value)
            if inner:
                added[key] = inner
        else:
            plain[key] = value
    return plain, added


def check(mapping: dict, added: dict, path: str, outer: str = "") -> None:
    """Raises BenchError if one of `added` does not add a list to a list of `mapping`.

    path: what an error calls the file; outer: the dotted name of the section `mapping`, and a dot.
    """
    for key, value in added.items():
        name = key.removesuffix("+")
        present = mapping.get(name)
        if name == key:
            check(present, value, path, f"{outer}{key}.")
        elif not isinstance(value, list):
            raise BenchError(f"{path}: {outer}{key}: expected a list, found {value!r}")
        elif mapping and name not in mapping:
            raise BenchError(f"{path}: {outer}{key}: {unknown('key', name, mapping)}")
        elif not isinstance(present, list):
            raise BenchError(
                f"{path}: {outer}{key}: expected a list {outer}{name} to add to, found {present!r}"
            )


def extend(mapping: dict, added: dict) -> dict:
    """`mapping` with the lists of `added` appended to its own. Lists that it lacks are ignored."""
    extended = dict(mapping)
    for key, value in added.items():
        name = key.removesuffix("+")
        present = mapping.get(name)
        if name != key and isinstance(present, list):
            extended[name] = present + value
        elif name == key and isinstance(present, dict):
            extended[name] = extend(present, value)
    return extended


def only_adds(value: object) -> bool:
    """Whether a section of an overlay only adds to lists, at every depth."""
    return isinstance(value, dict) and all(
        str(key).endswith("+") or only_adds(inner) for key, inner in value.items()
    )
