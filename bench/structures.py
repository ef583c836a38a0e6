"""The structures in which the second moments E[qqᵀ] of one step are kept, each from one pass over
the draws: a matrix, a spectrum, a few eigenvectors; and which of them the draws support.

error_rungs: how well four structures of E[eeᵀ], e = ε − ε̂, predict draws that they are not
estimated from, (4,). These *rungs* are, in this order, one number for all coordinates, the pixel
diagonal, the spectrum in the DCT frame, and the 16 largest eigenvectors with the mean of the rest,
which is left out of images of at most 16 coordinates. In the frame F of a rung, x_0 − x̂_0 is
−(b/a) e and Σ_0 is (b²/a²) v, so that a jump's term of the bound is

    ½ Σ_i [ln(σ_i²/λ²) + λ²/σ_i² − 1 + γ² (b²/a²) (Fᵀe)_i²/σ_i²],   σ_i² = λ² + γ² (b²/a²) v_i

The longer the jump, the smaller is λ² beside γ² (b²/a²) v. In the limit σ_i² is γ² (b²/a²) v_i, and
the term is

    ½ Σ_i [ln v_i + (Fᵀe)_i²/v_i] + what no rung changes

Half of the draws give F and v, and the score is the mean of this sum over the other half, for each
coordinate. The halves then change places, and the two scores are averaged. A v_i of 0 makes a score
infinite. So does a half without draws.
"""

import math

import numpy as np
import scipy.linalg

from bench import noise
from bench.frames import Dct

OF = ("eps", "error")  # the moments of ε̂ and of ε − ε̂
EXTRA = 10  # columns of Ω beyond R
RANK = 16  # of the last of the rungs


class Matrix:
    """E[qqᵀ]."""

    ranked, of = False, OF

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

    ranked, of = False, OF

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
        return {"dct": self._spectrum(mean, colours), "colours": colours}

    def score(self, mean, held):
        """The `likelihood` of draws with E[qqᵀ] = held, if v is estimated from others, `mean`."""
        found = self.results(mean)
        return likelihood(found["dct"], self._spectrum(held, found["colours"]))

    @staticmethod
    def _spectrum(mean, colours):
        """(dim,): the diagonal after the rotation of the channels."""
        return np.einsum("ck,cdf,dk->kf", colours, mean, colours).reshape(-1)


class Largest:
    """The largest eigenvectors of E[qqᵀ], from its products with a few random vectors.

    No vector is kept if there are no more coordinates than `rank`.
    """

    ranked, of = True, ("error",)

    def __init__(self, shape, rank, names):
        self.dim, self.rank = math.prod(shape), vectors_kept(shape, rank)
        columns = min(rank + EXTRA, self.dim)
        self.test = noise.normal((*names, "moments", "largest"), 0, columns, self.dim).T
        if 2 * columns > self.dim:  # of so many random vectors some are nearly dependent
            self.test, _ = np.linalg.qr(self.test)

    @staticmethod
    def shapes(shape, rank):
        kept = vectors_kept(shape, rank)
        return {"vectors": (math.prod(shape), kept), "values": (kept + 1,)}

    def product(self, q):
        """Σ q(qᵀΩ), and Σ‖q‖² in a row below."""
        energy = np.full((1, self.test.shape[1]), (q**2).sum())
        return np.append(q.T @ (q @ self.test), energy, axis=0)

    def results(self, mean):
        vectors, values = self._nystrom(mean)
        values = values[: self.rank]
        rest = max(mean[-1, 0] - values.sum(), 0.0) / (self.dim - self.rank)
        return {"vectors": vectors[:, : self.rank], "values": np.append(values, rest)}

    def score(self, mean, held):
        """The `likelihood` of draws with E[qqᵀ] = held, if v is estimated from others, `mean`.

        Only the products of the held-out matrix with Ω are known. So it is replaced by its own
        approximation of rank R + 10, and a multiple of I on all other directions that gives it the
        right trace. This is exact if there are at most R + 10 draws or coordinates. Otherwise some
        energy along the eigenvectors counts as that of the rest, and the score is too high: by 0.03
        nats a coordinate on the digits, by more for a steeper spectrum.
        """
        found = self.results(mean)
        vectors, values = self._nystrom(held)
        trace, beside = held[-1, 0], max(self.dim - len(values), 1)
        rest = max(trace - values.sum(), 0.0) / beside
        shares = (found["vectors"].T @ vectors) ** 2
        energies = shares @ values + rest * (1 - shares.sum(axis=1)).clip(0.0)
        energies = np.append(energies, max(trace - energies.sum(), 0.0))
        sizes = np.append(np.ones(self.rank), self.dim - self.rank)
        return likelihood(found["values"], energies, sizes)

    def _nystrom(self, mean):
        """Orthonormal vectors (dim, columns of Ω) and eigenvalues (columns of Ω,) of Y (ΩᵀY)⁻¹ Yᵀ,
        the largest first.
        """
        sketch = mean[:-1]
        # A multiple of the identity makes the core positive; the eigenvalues are less it.
        shift = 10 * np.finfo(float).eps * np.linalg.norm(sketch)
        sketch = sketch + shift * self.test
        core = self.test.T @ sketch
        root = np.linalg.cholesky((core + core.T) / 2)
        half = scipy.linalg.solve_triangular(root, sketch.T, lower=True).T
        vectors, singular, _ = np.linalg.svd(half, full_matrices=False)
        return vectors, (singular**2 - shift).clip(0.0)


def vectors_kept(shape, rank):
    """How many vectors `Largest` keeps: `rank`, or none of images of no more coordinates."""
    return rank if rank < math.prod(shape) else 0


class Scalar:
    """E‖q‖²/dim."""

    def __init__(self, shape, rank, names):
        pass

    def product(self, q):
        return (q**2).mean(axis=1).sum()

    def score(self, mean, held):
        return likelihood(mean, held)


class Diagonal(Scalar):
    """E[q²] of each coordinate."""

    def product(self, q):
        return (q**2).sum(axis=0)


def likelihood(v, energies, sizes=1.0):
    """½ (ln v_i + E[(Fᵀe)_i²]/v_i), the mean over coordinates; infinite if a v is 0.

    v: the spectrum, a number for each group of coordinates. energies: E[(Fᵀe)²] of the held-out
    draws, summed in each group. sizes: how many coordinates a group has.
    """
    if np.min(v) <= 0:
        return np.inf
    sizes = np.broadcast_to(sizes, np.shape(v))
    return 0.5 * (sizes * np.log(v) + energies / v).sum() / sizes.sum()


class Rungs:
    """Scores of the rungs over the draws of one step.

    Draws of even number are one half, those of odd number the other. So the halves are the same
    whatever the batches are, and as large as each other whenever the draws end.
    """

    ranked, of = False, ("error",)

    def __init__(self, shape, rank, names):
        self.kept = [made(shape, RANK, names) for made in self._made(shape)]
        self.totals = [[0.0] * len(self.kept) for _ in range(2)]  # of each half
        self.draws = 0

    @staticmethod
    def _made(shape):
        """The classes of the rungs, the simplest first."""
        made = [Scalar, Diagonal, InDct]
        return [*made, Largest] if vectors_kept(shape, RANK) else made

    @staticmethod
    def shapes(shape, rank):
        return {"rungs": (len(Rungs._made(shape)),)}

    def add(self, eps, eps_hat):
        """Adds draws of ε and ε̂, (n, dim), n ≥ 1."""
        error = eps - eps_hat
        for number, totals in enumerate(self.totals):
            half = error[(number + self.draws) % 2 :: 2]
            if len(half):
                for i, one in enumerate(self.kept):
                    totals[i] = totals[i] + one.product(half)
        self.draws += len(eps)

    def results(self, draws, slope):
        """{name: array}. slope: not used, as there is no control variate."""
        scores = np.full(len(self.kept), np.inf)
        if draws > 1:
            even, odd = self.totals
            for i, one in enumerate(self.kept):
                means = even[i] / (draws - draws // 2), odd[i] / (draws // 2)
                scores[i] = (one.score(*means) + one.score(*reversed(means))) / 2
        return {"error_rungs": scores}
