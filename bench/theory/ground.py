"""The mixture on which the claims of the papers are checked, and the rows that a check returns.

A row is (claim, source, expected, measured, stderr, verdict). `expected` comes from a closed form
or from an average of one; `measured` from the code that measures real models. A verdict on a Monte
Carlo number allows four standard errors. On the worst of n numbers it allows more, so that the
probability of an excess stays the same (`sigmas`). On a closed form it allows rounding.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from scipy.stats import norm
from torch import Tensor

from bench import covariance, moments, noise, process, schedule
from bench.covariance import MomentsAt, Seen
from bench.data.dataset import Data
from bench.data.readers.mixture import law_of
from bench.mean.oracle import OracleModel
from bench.mixture import Mixture

SCALARS = ("beta_tilde", "beta", "analytic_scalar", "total_variance", "mle_scalar")
# the second moments that variants read
STRUCTURES = ("eps_matrix", "error_matrix", "eps_dct", "eps_colours", "error_dct", "error_colours")
STRUCTURES += ("error_vectors-2", "error_values-2")
SIGMAS = 4.0  # standard errors that a verdict allows
POOL = 200_000  # draws that stand for the data; the moments draw from them


class Ground:
    """A mixture, its diffusion, data drawn from it, and the moments of the perfect and of an
    imperfect mean model.
    """

    def __init__(
        self,
        seed: int,
        dim: int = 16,
        components: int = 8,
        N: int = 50,
        draws: int = 4000,
        imperfection: float = 0.3,
    ):
        self.names = (seed, "mixture")
        self.schedule = schedule.make("linear", N)
        self.ddpm = process.make("ddpm", self.schedule)
        self.law = law_of(components, dim)
        self.data = data_of(self.law, self.names, test=draws)
        self.perfect, self.imperfect = (
            OracleModel(self.law, self.schedule, size) for size in (0.0, imperfection)
        )
        self.oracle = self.perfect.oracle
        self.draws = draws
        self.moments = self.estimate(self.perfect, structures=STRUCTURES)
        self.imperfect_moments = self.estimate(self.imperfect)

    def estimate(
        self, model: OracleModel, *names: str, structures: Sequence[str] = ()
    ) -> Mapping[str, np.ndarray]:
        """The moments of a mean model. names: added to the name of the draws. structures: the
        `bench.second_moments` among them.
        """
        names = (*self.names, *names)
        return moments.estimate(
            model, self.data, self.schedule, self.draws, names, structures=structures
        )

    def v(
        self, name: str, t: int, moments: Mapping[str, np.ndarray]
    ) -> float | Float64[np.ndarray, " dim"]:
        """v at step t of the variant called `name`, one that does not depend on x_t."""
        variant = covariance.get(name)
        seen = Seen(t, self.schedule, moments=MomentsAt(moments, t, variant))
        return variant.spectrum(seen)

    def sigma_sq(self, name: str, s: int, t: int, moments: Mapping[str, np.ndarray]) -> float:
        """σ²_{s|t} of the scalar variant called `name`, for unbounded data."""
        variant = covariance.get(name)
        seen = Seen(t, self.schedule, moments=MomentsAt(moments, t, variant))
        return variant.reverse_variance(self.ddpm, s, seen).item()

    def noised(self, t: int, purpose: str) -> Float64[Tensor, "draws dim"]:
        """Fresh draws of x_t, independent of those of the moments."""
        return self.noised_with(t, purpose)[0]

    def noised_with(
        self, t: int, purpose: str
    ) -> tuple[Float64[Tensor, "draws dim"], Float64[Tensor, "draws dim"]]:
        """The draws of `noised`, and their ε."""
        x_0 = self.law.draw((*self.names, purpose, t), self.draws)
        eps = torch.from_numpy(noise.normal((*self.names, purpose, t), 0, self.draws, self.law.dim))
        return self.schedule.signal[t] * x_0 + self.schedule.noise[t] * eps, eps

    def exact_v(
        self, t: int
    ) -> tuple[Float64[np.ndarray, "dim dim"], Float64[np.ndarray, "dim dim"]]:
        """(a²/b²) Cov[x_0 | x_t] averaged over x_t: its mean and standard error."""
        scale = self.schedule.alpha_bar[t] / self.schedule.noise_sq[t]
        matrices = scale * self.oracle.conditional(self.noised(t, "exact"), t)[1]
        return matrices.mean(0).numpy(), (matrices.std(0) / self.draws**0.5).numpy()


def data_of(law: Mixture, names: tuple, test: int) -> Data:
    """Data drawn from a mixture: `POOL` training points and `test` test points.

    names: the root of the draws.
    """
    splits = (
        law.draw((*names, split), count).numpy()[:, :, None, None]
        for split, count in (("train", POOL), ("test", test))
    )
    return Data(
        "mixture", *splits, levels=None, train_labels=None, test_labels=None, sha256="", law=law
    )


def row(
    claim: str, source: str, expected: Any, measured: Any, stderr: Any, verdict: Any
) -> dict[str, Any]:
    """A row of results/theory.csv.

    expected, measured, stderr: numbers, or strings, arrays or tensors of one number. verdict:
    likewise, true if the claim holds.
    """
    return {
        "claim": claim,
        "source": source,
        "expected": float(expected),
        "measured": float(measured),
        "stderr": float(stderr),
        "verdict": bool(verdict),
    }


def within(
    claim: str, source: str, expected: Any, measured: Any, stderr: Any, worst_of: int = 1
) -> dict[str, Any]:
    """A row whose verdict is that `expected` and `measured` agree within the standard errors that
    `sigmas` allows. worst_of: if they are the worst of several numbers, how many.
    """
    return row(
        claim,
        source,
        expected,
        measured,
        stderr,
        abs(measured - expected) <= sigmas(worst_of) * stderr,
    )


def sigmas(count: int) -> float:
    """The number of standard errors to allow on the worst of `count` normal numbers.

    It is exceeded with the probability with which a single number exceeds SIGMAS.
    """
    return norm.isf(norm.sf(SIGMAS) / count)
