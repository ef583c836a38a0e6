"""YAML without its traps: what a person did not mean is an error that names the line.

PyYAML reads YAML 1.1. There `1:30` is 90, `010` is 8, and of a key that stands twice the last value
counts. Values that cannot be made (a date that does not exist, `!!float abc`) end in errors of many
types, and an alias inside its own anchor never ends.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from bench.runtime import files
from bench.runtime.errors import BenchError, shown

TEMPLATE = "__use_yte__"  # the key with which Snakemake runs the Python expressions of a file
LARGEST = 100_000  # values in a file, aliases included
DIGITS = 40  # of a number
# YAML's other types: a set has no order, the rest nobody needs
REFUSED = ("binary", "omap", "pairs", "set")


class _Loader(yaml.SafeLoader):
    """PyYAML's loader of plain values, which refuses what the module's docstring lists."""

    yaml_constructors = {
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if str(tag).rpartition(":")[2] not in REFUSED
    }

    def compose_mapping_node(self, anchor):
        node, seen = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or not key.tag.endswith((":str", ":merge")):
                word = key.value if isinstance(key, yaml.ScalarNode) else "of several values"
                raise _error(key, f"the key {shown(word)} is no text")
            if key.value in seen:
                raise _error(key, f"the key {shown(key.value)} stands there twice")
            seen.add(key.value)
        return node

    def construct_object(self, node, deep=False):
        try:
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
            kind = node.tag.rpartition(":")[2]
            raise _error(node, f"{shown(node.value)} is no value of type {kind}") from error

    def construct_yaml_number(self, node):
        text = self.construct_scalar(node)
        if len(text) > DIGITS:
            raise _error(node, f"a number of {len(text)} characters; expected at most {DIGITS}")
        is_int = node.tag.endswith(":int")
        value = self.construct_yaml_int(node) if is_int else self.construct_yaml_float(node)
        if ":" in text or (is_int and re.fullmatch(r"[-+]?0[0-9_]+", text)):
            raise _error(
                node,
                f"found {text}, which YAML reads as {value}; expected {value}, or "
                f"the text {text!r} in quotes",
            )
        return value


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_yaml_number)


def _error(node, problem):
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def read(path: str | Path) -> dict[str, Any]:
    """The mapping that a YAML file holds. BenchError if it cannot be read or holds no mapping."""
    files.check_readable(str(path), path, "expected a YAML file")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise BenchError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # no UTF-8, or a path with a null character
        raise BenchError(f"{shown(str(path))}: not valid YAML ({error})") from error
    value = parse(text, path)
    if not isinstance(value, dict):
        raise BenchError(f"{path}: expected a mapping of keys, found {type(value).__name__}")
    if TEMPLATE in value:
        raise BenchError(
            f"{path}: {TEMPLATE}: expected plain YAML, found a template that runs code"
        )
    return value


def parse(text: str, where: object) -> Any:
    """The value of a YAML document.

    where: what an error calls it. BenchError for what is no YAML, or more than `LARGEST` values.
    """
    try:
        value = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise BenchError(f"{where}: not valid YAML ({line}{error.problem})") from error
    except yaml.YAMLError as error:
        raise BenchError(f"{where}: not valid YAML ({' '.join(str(error).split())})") from error
    except RecursionError as error:
        raise BenchError(f"{where}: not valid YAML (nested too deeply)") from error
    _check_size(value, where)
    return value


def _check_size(value, where):
    """BenchError if a value has more than `LARGEST` values inside, each alias counted anew."""
    rest, count = [value], 0
    while rest:
        inner = rest.pop()
        count += 1
        if isinstance(inner, dict):
            rest += inner.values()
        elif isinstance(inner, list):
            rest += inner
        if count + len(rest) > LARGEST:
            raise BenchError(f"{where}: found more than {LARGEST} values; expected fewer")
