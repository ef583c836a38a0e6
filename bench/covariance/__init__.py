"""Variants: the reverse variances that the benchmark compares, a small file each.

A variant is a subclass of `bench.variant.Variant`, which says what they estimate and how. To add
one, put a file with such a class into this folder and its name into params.yaml. A variant of
another package has its class in the entry-point group `bench.variants`, or stands in params.yaml as
`package.module:Class`; with a number behind it, as `mle_rank-16`, if the class is a family.

Importing this package does not import torch.
"""

import re
from collections.abc import Iterable
from importlib.metadata import entry_points

from bench.process import family
from bench.registry import FAMILIES, VARIANTS, Head, is_whole, place, register_class
from bench.runtime import plugins
from bench.runtime.errors import BenchError, shown
from bench.variant import NEEDS, PRODUCT, Batch, MomentsAt, Seen, Variant, positive, squared_error

__all__ = [
    "FAMILIES", "NEEDS", "PRODUCT", "VARIANTS", "Batch", "Head", "MomentsAt", "Seen", "Variant",
    "check", "get", "head_names", "load", "numbers_of", "positive", "reference",
    "squared_error",
]  # fmt: skip

GROUP = "bench.variants"  # of entry points
# `mle_rank-16`: a family and a number
NUMBERED = re.compile("(?P<family>.+)-(?P<number>[1-9][0-9]{0,5})", re.ASCII)

plugins.import_folder(__name__, __path__)


def load(reference: str) -> str:
    """Imports the variant given as `package.module:Class` or by the name of its entry point, with a
    hyphen and a number behind it if the class is a family.

    Returns its name. BenchError if there is no such class, if its module cannot be imported, if it
    is no variant, or if a number is missing or one too many.
    """
    known = [*VARIANTS, *(f"{family}-NUMBER" for family in FAMILIES)]
    numbered, points = NUMBERED.fullmatch(reference), entry_points(group=GROUP).names
    number = ()
    if numbered and reference not in points and (":" in reference or numbered["family"] in points):
        reference, number = numbered["family"], (int(numbered["number"]),)
    module, _, attribute = reference.partition(":")
    if "-" in attribute:
        raise BenchError(
            f"variant {reference!r}: expected a whole number from 1 to 999999 behind the hyphen: "
            f"{module}:{attribute.partition('-')[0]}-16"
        )
    cls = plugins.load("variant", GROUP, Variant, reference, known)
    name = cls.name
    if number:
        name = f"{cls.family}-{number[0]}" if cls.__dict__.get("family") else None
    if name is None:
        raise BenchError(
            f"variant {reference!r}: expected a class with a name, without a number behind it, or "
            f"one with a `family` of its own and a number behind it: {reference}-16"
        )
    if name not in VARIANTS:
        register_class(cls, name, *number)
    return name


def get(name: str) -> Variant:
    """The variant called `name`, of this folder or an installed package.

    BenchError for an unknown one.
    """
    numbered = NUMBERED.fullmatch(name)
    if name not in VARIANTS and numbered and numbered["family"] in FAMILIES:
        register_class(FAMILIES[numbered["family"]], name, int(numbered["number"]))
    return VARIANTS[name if name in VARIANTS else load(name)]


def reference(name: str) -> str:
    """How a command names the variant: its name, or `package.module:Class` of another package, with
    its number if it is one of a family.
    """
    cls = type(get(name))
    if cls.__module__.startswith(f"{__name__}."):
        return name
    number = f"-{name.rpartition('-')[2]}" if cls.__dict__.get("family") else ""
    return f"{place(cls)}{number}"


def numbers_of(name: str, shape: tuple[int, ...]) -> int | None:
    """How many numbers the head called `name` gives for an image of `shape` as a whole; None if it
    gives one for each coordinate.

    BenchError unless its variant says a whole number from 1.
    """
    variant = get(name)
    if variant.head.outputs == "pixel":
        return None
    numbers = variant.numbers(shape)
    if not is_whole(numbers, 1):
        raise BenchError(
            f"variant {name!r} ({place(type(variant))}): numbers: found {shown(numbers)} for "
            f"images of shape {shape}, expected a whole number from 1"
        )
    return numbers


def head_names() -> list[str]:
    """Names of the variants for which a head is learned; a head has its variant's name."""
    return [name for name, variant in VARIANTS.items() if variant.head is not None]


def check(name: str, process: str, heads: Iterable[str]) -> Variant:
    """The variant called `name`.

    BenchError unless it exists, is defined for the process called `process`, and has its head (if
    it needs one) in `heads`, the names of the configured ones.
    """
    variant = get(name)
    if family(process) not in variant.processes:
        raise BenchError(
            f"variant {name!r} is not defined for process {process!r} "
            f"(it is for: {', '.join(variant.processes)})"
        )
    if variant.head is not None and name not in heads:
        raise BenchError(
            f"variant {name!r} needs the head {name!r}, which is not configured "
            f"(heads.targets has: {', '.join(heads) or 'none'})"
        )
    return variant
