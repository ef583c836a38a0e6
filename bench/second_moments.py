"""Second moments of ε̂ and of ε − ε̂ at one step, beyond the pixel diagonal.

For q = ε̂ or q = ε − ε̂ these are E[qqᵀ] in three shapes, each from one pass over the draws.

<q>_matrix: E[qqᵀ] itself, (dim, dim), for small images only.

<q>_dct, <q>_colours: in the DCT frame. `colours`, (channels, channels), has the eigenvectors of the
covariance of the channels, summed over all frequencies. `dct`, (dim,), is the mean square of the
DCT of the channels so rotated.

<q>_vectors-R, <q>_values-R: the R largest eigenvectors, (dim, R), and their eigenvalues with the
mean of the rest, (R + 1,), at any size. With a fixed random Ω of R + 10 columns, Y = E[q(qᵀΩ)] and
E‖q‖² are enough, as E[qqᵀ] is near Y (ΩᵀY)⁻¹ Yᵀ (Nyström; Tropp et al. 2017, algorithm 3).

For ε̂, εεᵀ − I is a control variate, with the coefficient that E[ε̂²] has (`bench.moments`).

error_rungs: how well four structures of E[qqᵀ] of q = ε − ε̂ predict draws that they are not
estimated from, (4,), see `bench.structures`.
"""

import math
from collections.abc import Iterable, Sequence

from bench.runtime.errors import BenchError
from bench.structures import InDct, Largest, Matrix, Rungs

LARGEST = 1024  # dim of a `matrix`


class Sums:
    """Sums over the draws of one step, for moments of one structure of `bench.structures`.

    of: one of `structures.OF`.
    """

    def __init__(self, of, rank, kept):
        self.of, self.rank, self.kept = of, rank, kept
        self.total = self.control = 0.0

    def add(self, eps, eps_hat):
        """Adds draws of ε and ε̂, (n, dim)."""
        if self.of == "error":
            self.total = self.total + self.kept.product(eps - eps_hat)
        else:
            self.total = self.total + self.kept.product(eps_hat)
            self.control = self.control + self.kept.product(eps) - len(eps) * self.kept.identity

    def results(self, draws, slope):
        """{name: array}. slope: the coefficient of the control variate."""
        mean = (self.total - slope * self.control) / draws
        end = "" if self.rank is None else f"-{self.rank}"
        return {f"{self.of}_{kind}{end}": array for kind, array in self.kept.results(mean).items()}


SHAPES = {
    "matrix": Matrix,
    "dct": InDct,
    "colours": InDct,
    "vectors": Largest,
    "values": Largest,
    "rungs": Rungs,
}


def sums(wanted: Iterable[str], shape: Sequence[int], names: tuple) -> list[Sums | Rungs]:
    """What is summed at one step for the moments `wanted` of images of `shape`.

    names: (seed, setting), the root of random numbers.
    """
    groups = dict.fromkeys((of, SHAPES[kind], rank) for of, kind, rank in map(parse, wanted))
    found = []
    for of, made, rank in groups:
        kept = made(shape, rank, names)
        found.append(kept if made is Rungs else Sums(of, rank, kept))
    return found


def check(name: str, shape: Sequence[int]) -> None:
    """BenchError if images of `shape` are too large for a moment, or too small."""
    _, _, rank = parse(name)
    dim = math.prod(shape)
    if rank is not None and not 0 < rank < dim:
        raise BenchError(f"moment {name!r}: expected a rank from 1 to {dim - 1}, found {rank}")
    shape_of(name, shape)


def shape_of(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a moment at one step, for images of `shape`.

    BenchError if such images are too large for it. A rank that they are too small for keeps no
    vectors (`check` refuses it).
    """
    _, kind, rank = parse(name)
    dim = math.prod(shape)
    if kind == "matrix" and dim > LARGEST:
        raise BenchError(
            f"moment {name!r} is a matrix of {dim} × {dim} numbers at every step; expected images "
            f"of at most {LARGEST} coordinates, or a variant that keeps less, such as mle_dct or "
            "mle_rank-16"
        )
    return SHAPES[kind].shapes(shape, rank)[kind]


def numbers(names: Iterable[str], shape: Sequence[int]) -> int:
    """How many numbers a step has of moments that are no scalars, of this module or one for each
    coordinate.
    """
    shapes = (shape_of(name, shape) if is_one(name) else shape for name in names)
    return sum(map(math.prod, shapes))


def is_one(name: str) -> bool:
    """Whether a moment is one of this module."""
    try:
        parse(name)
    except BenchError:
        return False
    return True


def parse(name: str) -> tuple[str, str, int | None]:
    """(`eps` or `error`, key of `SHAPES`, R or None) of a moment's name. BenchError if it has
    none.
    """
    of, _, kind = name.partition("_")
    kind, _, rank = kind.partition("-")
    if kind in SHAPES and of in SHAPES[kind].of:
        ranked = SHAPES[kind].ranked
        if rank.isdecimal() == ranked:
            return of, kind, int(rank) if ranked else None
    raise BenchError(
        f"moment {name!r}: expected eps or error, followed by _matrix, _dct or _colours; "
        "error_rungs; or error_vectors-R, error_values-R with a number R"
    )
