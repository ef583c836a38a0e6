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
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import scipy.linalg

from bench import noise
from bench.frames import Dct
from bench.runtime.errors import BenchError

OF = ("eps", "error")  # the moments of ε̂ and of ε − ε̂
EXTRA = 10  # columns of Ω beyond R
LARGEST = 1024  # dim of a `matrix`


class Matrix:
    """E[qqᵀ]."""

    ranked = False

    def __init__(self, shape, rank, names):
        self.identity = np.eye(math.prod(shape))

    @staticmethod
    def shapes(shape, rank):
        """{kind: shape at one step} for images of `shape`."""
        return {"matrix": (math.prod(shape), math.prod(shape))}

    def product(self, q):
        """Σ qqᵀ of draws (n, dim), as far as it is kept."""
        return q.T @ q

    def results(self, mean):
        """{kind: array} of E[qqᵀ]."""
        return {"matrix": mean}


class InDct:
    """E[qqᵀ] between channels, at every frequency of the DCT."""

    ranked = False

    def __init__(self, shape, rank, names):
        self.frame = Dct(shape, np.eye(shape[0]))
        self.identity = np.eye(shape[0])[:, :, None]

    @staticmethod
    def shapes(shape, rank):
        return {"dct": (math.prod(shape),), "colours": (shape[0], shape[0])}

    def product(self, q):
        channels = self.frame.transform(q).reshape(len(q), self.frame.shape[0], -1)
        return np.einsum("ncf,ndf->cdf", channels, channels)

    def results(self, mean):
        _, colours = np.linalg.eigh(mean.sum(axis=2))
        spectrum = np.einsum("ck,cdf,dk->kf", colours, mean, colours)
        return {"dct": spectrum.reshape(-1), "colours": colours}


class Largest:
    """The largest eigenvectors of E[qqᵀ], from its products with a few random vectors."""

    ranked = True

    def __init__(self, shape, rank, names):
        self.dim, self.rank = math.prod(shape), rank
        columns = min(rank + EXTRA, self.dim)
        self.test = noise.normal((*names, "moments", "largest"), 0, columns, self.dim).T

    @staticmethod
    def shapes(shape, rank):
        return {"vectors": (math.prod(shape), rank), "values": (rank + 1,)}

    def product(self, q):
        """Σ q(qᵀΩ), and Σ‖q‖² in a row below."""
        energy = np.full((1, self.test.shape[1]), (q**2).sum())
        return np.append(q.T @ (q @ self.test), energy, axis=0)

    def results(self, mean):
        sketch, trace = mean[:-1], mean[-1, 0]
        # A multiple of the identity makes the core positive; the eigenvalues are less it.
        shift = 10 * np.finfo(float).eps * np.linalg.norm(sketch)
        sketch = sketch + shift * self.test
        core = self.test.T @ sketch
        root = np.linalg.cholesky((core + core.T) / 2)
        half = scipy.linalg.solve_triangular(root, sketch.T, lower=True).T
        vectors, singular, _ = np.linalg.svd(half, full_matrices=False)
        values = (singular[: self.rank] ** 2 - shift).clip(0.0)
        rest = max(trace - values.sum(), 0.0) / (self.dim - self.rank)
        return {"vectors": vectors[:, : self.rank], "values": np.append(values, rest)}


SHAPES = {"matrix": Matrix, "dct": InDct, "colours": InDct, "vectors": Largest, "values": Largest}


class Sums:
    """Sums over the draws of one step, for moments of one of the classes above.

    of: one of `OF`.
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


def sums(wanted: Iterable[str], shape: Sequence[int], names: tuple) -> list[Sums]:
    """What is summed at one step for the moments `wanted` of images of `shape`.

    names: (seed, setting), the root of random numbers.
    """
    groups = dict.fromkeys((of, SHAPES[kind], rank) for of, kind, rank in map(parse, wanted))
    return [Sums(of, rank, made(shape, rank, names)) for of, made, rank in groups]


def shape_of(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a moment at one step, for images of `shape`.

    BenchError if such images are too large for it, or too small.
    """
    _, kind, rank = parse(name)
    dim = math.prod(shape)
    if kind == "matrix" and dim > LARGEST:
        raise BenchError(
            f"moment {name!r} is a matrix of {dim} × {dim} numbers at every step; expected images "
            f"of at most {LARGEST} coordinates, or a variant that keeps less, such as mle_dct or "
            "mle_rank-16"
        )
    if rank is not None and not 0 < rank < dim:
        raise BenchError(f"moment {name!r}: expected a rank from 1 to {dim - 1}, found {rank}")
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
    if of in OF and kind in SHAPES:
        ranked = SHAPES[kind].ranked
        if rank.isdecimal() == ranked and not (ranked and of == "eps"):
            return of, kind, int(rank) if ranked else None
    raise BenchError(
        f"moment {name!r}: expected eps or error, followed by _matrix, _dct or _colours; or "
        "error_vectors-R, error_values-R with a number R"
    )
