"""What a variant says of itself, and the register of all variants.

A class that derives from `bench.variant.Variant` is registered when it is defined, if it has a name
or a family. What it says is checked then, so that a mistake of its author ends in a line that names
the class.
"""

import inspect
from dataclasses import dataclass
from typing import Annotated, ForwardRef, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError

from bench import process, second_moments
from bench.runtime.errors import BenchError, problem, reason, shown, unknown
from bench.runtime.fields import Count, Name

Variant = ForwardRef("bench.variant.Variant")  # which imports this module

ASSUMPTIONS = ("perfect mean", "imperfect mean", "nothing")
FRAMES = ("pixel", "dct", "eigen", "any")  # any: another one at each step
OUTPUTS = ("pixel", "image")  # of a head
DRAWN = ("uniform", "importance")  # how a head's training draws its steps
MARKERS = tuple("osD^v<>pPX*hHd8")  # of curves in figures, as matplotlib calls them
VARIANTS = {}  # by name
FAMILIES = {}  # classes of variants that take a number, by the name before it
# of which `bench.moments` estimates the means: `<name>` of each coordinate, `<name>_mean` of all
QUANTITIES = (
    "eps_sq",
    "error_sq",
    "x0_hat",
    "x0_hat_sq",
    "x0_error_sq",
    "last_term",
    "total_variance",
)
MOMENTS = (*QUANTITIES, *(f"{name}_mean" for name in QUANTITIES))


@dataclass(frozen=True)
class Head:
    """What is learned for a variant, by a network on the frozen mean model (`bench.heads`).

    outputs: 'pixel', a number for each coordinate, or 'image', numbers of each image as a whole, as
    many as `Variant.numbers` says. steps: how t is drawn in training, 'uniform' or
    'importance', by the size of the bound's terms (`bench.heads.importance`). A loss that is one of
    these terms needs the latter. products: with the mean model's Jacobian that the loss of a row
    takes. BenchError for another value.
    """

    outputs: str = "pixel"
    steps: str = "uniform"
    products: int = 0

    def __post_init__(self) -> None:
        for attribute, allowed in (("outputs", OUTPUTS), ("steps", DRAWN)):
            value = getattr(self, attribute)
            if value not in allowed:
                raise BenchError(f"Head: {attribute}: {unknown('value', value, allowed)}")
        if not is_whole(self.products, 0):
            raise BenchError(
                f"Head: products: expected a whole number from 0, found {shown(self.products)}"
            )

    @property
    def moments(self) -> tuple[str, ...]:
        """Names of the moments that the training reads."""
        return ("x0_error_sq_mean",) if self.steps == "importance" else ()


class Attributes(BaseModel):
    """What the attributes of a variant may be; `Variant` says what they mean."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    name: Name
    source: str | None
    processes: Annotated[tuple[Literal[process.FAMILIES], ...], Field(min_length=1)]
    assumes: Literal[ASSUMPTIONS]
    frame: Literal[FRAMES]
    conditional: bool
    clipped: bool
    moments: tuple[str, ...]
    head: InstanceOf[Head] | None
    has_optimal_trajectory: bool
    edge_moments: tuple[str, ...]
    look: tuple[Annotated[str, Field(pattern="^#[0-9A-Fa-f]{6}$")], Literal[MARKERS]] | None
    version: Count


def register(variant: Variant) -> None:
    """Puts a variant into `VARIANTS`.

    BenchError if an attribute has a value that is not allowed (`Attributes`), if another class has
    its name already, for a moment that there is not, or if a method does not take the arguments
    of that of `Variant`.
    """
    _check_attributes(variant)
    earlier, cls = VARIANTS.get(variant.name), type(variant)
    _check_once("variant", variant.name, earlier and type(earlier), cls)
    for attribute in ("moments", "edge_moments"):
        for name in getattr(variant, attribute):
            if name not in MOMENTS and not second_moments.is_one(name):
                where = f"variant {variant.name!r} ({place(cls)}): {attribute}"
                raise BenchError(f"{where}: {unknown('moment', name, MOMENTS)}")
    _check_methods(variant)
    _check_products(variant)
    VARIANTS[variant.name] = variant


def _check_attributes(variant: Variant) -> None:
    """BenchError for the first attribute with a value that `Attributes` does not allow."""
    values = {name: getattr(variant, name) for name in Attributes.model_fields}
    try:
        Attributes.model_validate(values, strict=True)
    except ValidationError as error:
        where = f"variant {shown(variant.name)} ({place(type(variant))})"
        raise BenchError(f"{where}: {problem(error)}") from error


def _check_methods(variant: Variant) -> None:
    """BenchError for a method that others call with arguments which it does not take."""
    calls = {
        "check_shape(self, shape, in_bound=False)": {"in_bound": True},
        "numbers(self, shape)": {},
        "products(self, dim, in_bound=False)": {"in_bound": True},
    }
    for expected, named in calls.items():
        method = expected.partition("(")[0]
        try:
            inspect.signature(getattr(variant, method)).bind("its first argument", **named)
        except TypeError as error:
            where = f"variant {variant.name!r} ({place(type(variant))}): {method}"
            raise BenchError(f"{where}: {reason(error)}; expected `{expected}`") from error


def _check_products(variant: Variant) -> None:
    """BenchError unless `products` gives a whole number from 0."""
    where, dim = f"variant {variant.name!r} ({place(type(variant))}): products", 64
    for number in (variant.products(dim), variant.products(dim, in_bound=True)):
        if not is_whole(number, 0):
            raise BenchError(
                f"{where}: found {shown(number)} for {dim} coordinates, expected a whole number "
                "from 0"
            )


def is_whole(value: object, least: int) -> bool:
    """Whether a value is a whole number from `least`."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least


def register_class(cls: type[Variant], name: object, *number: int) -> None:
    """Registers the variant called `name`, an instance of `cls`.

    number: of a member of a family. BenchError if `cls` cannot be made with it, or without one, or
    gives it another name.
    """
    where = f"variant {name!r} ({place(cls)})"
    try:
        variant = cls(*number)
    except BenchError:
        raise
    except Exception as error:  # whatever a class does when it is made
        expected = "its number" if number else "no arguments, or a `family` in place of a name"
        raise BenchError(
            f"{where}: cannot be made ({reason(error)}); expected an __init__ that takes {expected}"
        ) from error
    if variant.name != name:
        raise BenchError(f"{where}: its __init__ sets the name {variant.name!r}, expected {name!r}")
    register(variant)


def register_family(cls: type[Variant]) -> None:
    """Puts a class into `FAMILIES`. BenchError if another class has its family already."""
    _check_once("family", cls.family, FAMILIES.get(cls.family), cls)
    FAMILIES[cls.family] = cls


def _check_once(kind: str, name: str, earlier: type | None, cls: type) -> None:
    """BenchError if another class has the name of `cls` already."""
    if earlier is not None and place(earlier) != place(cls):
        raise BenchError(
            f"{kind} {name!r} is defined twice, by {place(earlier)} and by {place(cls)}; "
            "expected another name for one of them"
        )


def place(cls: type) -> str:
    """Where a class is defined, as `package.module:Class`."""
    return f"{cls.__module__}:{cls.__qualname__}"
