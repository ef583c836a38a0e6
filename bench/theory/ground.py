"""The ground on which the claims of the papers are checked, and the rows in which a check says what
it found.

A row is (claim, source, expected, measured, stderr, verdict). `expected` comes from a closed form
or from an average of one; `measured` from the code that measures real models. A verdict on a Monte
Carlo number allows four standard errors, on the worst of n numbers as many as make n of them as
unlikely to be exceeded; on a closed form, the rounding that is stated.
"""

import torch
from scipy.stats import norm

from bench import covariance, moments, noise, process, schedule
from bench.covariance import MomentsAt, Seen
from bench.data.dataset import Data
from bench.data.readers.mixture import law_of
from bench.mean.oracle import OracleModel

SIGMAS = 4.0  # standard errors that a verdict allows
POOL = 200_000  # draws that stand for the data; the moments draw from them


class Ground:
    """A mixture, its diffusion, data drawn from it, and the moments of the perfect and of an
    imperfect mean model.
    """

    def __init__(self, seed, dim=16, components=8, N=50, draws=4000, imperfection=0.3):
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
        self.moments = self.estimate(self.perfect)
        self.imperfect_moments = self.estimate(self.imperfect)

    def estimate(self, model, *names):
        """The moments of a mean model, from draws named by `names`."""
        return moments.estimate(model, self.data, self.schedule, self.draws, (*self.names, *names))

    def v(self, name, t, moments):
        """v of the variant called `name` at step t, where it is the same for every x_t: a number or
        (d,).
        """
        variant = covariance.get(name)
        seen = Seen(t, self.schedule, moments=MomentsAt(moments, t, variant))
        return variant.spectrum(seen)

    def sigma_sq(self, name, s, t, moments):
        """σ²_{s|t} of the scalar variant called `name`, for unbounded data."""
        variant = covariance.get(name)
        seen = Seen(t, self.schedule, moments=MomentsAt(moments, t, variant))
        return variant.reverse_variance(self.ddpm, s, seen).item()

    def noised(self, t, purpose):
        """Fresh draws of x_t, independent of those behind the moments."""
        x_0 = self.law.draw((*self.names, purpose, t), self.draws)
        eps = torch.from_numpy(noise.normal((*self.names, purpose, t), 0, self.draws, self.law.dim))
        return self.schedule.signal[t] * x_0 + self.schedule.noise[t] * eps

    def exact_v(self, t):
        """(a²/b²) Cov[x_0 | x_t] averaged over x_t: its mean (d, d) and standard error (d, d)."""
        scale = self.schedule.alpha_bar[t] / self.schedule.noise_sq[t]
        matrices = scale * self.oracle.conditional(self.noised(t, "exact"), t)[1]
        return matrices.mean(0).numpy(), (matrices.std(0) / self.draws**0.5).numpy()


def data_of(law, names, test):
    """Data drawn from a mixture: `POOL` training points and `test` test points."""
    splits = (
        law.draw((*names, split), count).numpy()[:, :, None, None]
        for split, count in (("train", POOL), ("test", test))
    )
    return Data(
        "mixture", *splits, levels=None, train_labels=None, test_labels=None, sha256="", law=law
    )


def row(claim, source, expected, measured, stderr, verdict):
    """A row of results/theory.csv."""
    return {
        "claim": claim,
        "source": source,
        "expected": float(expected),
        "measured": float(measured),
        "stderr": float(stderr),
        "verdict": bool(verdict),
    }


def within(claim, source, expected, measured, stderr, worst_of=1):
    """A row whose verdict is that the two agree within the standard errors allowed for the worst of
    so many numbers.
    """
    return row(
        claim,
        source,
        expected,
        measured,
        stderr,
        abs(measured - expected) <= sigmas(worst_of) * stderr,
    )


def sigmas(count):
    """As many standard errors as one of `count` numbers exceeds as rarely as a single one exceeds
    SIGMAS.
    """
    return norm.isf(norm.sf(SIGMAS) / count)
