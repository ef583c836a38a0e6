"""The case on which the contract of variants is checked: a mixture in the plane, what it is noised
to, and the moments of a mean model on it.
"""

import functools

import numpy as np
import torch
from jaxtyping import Float64

from bench import covariance, moments, noise, schedule, second_moments
from bench.covariance import MomentsAt, Seen, Variant
from bench.data.readers.mixture import law_of
from bench.jacobian import differentiate
from bench.mean.oracle import OracleModel
from bench.mixture import Mixture
from bench.theory.ground import data_of

SEED = 1
N, DIM = 50, 2
SEVERAL = law_of(3, DIM)  # a mixture that a small network learns in seconds
ROUND = Mixture.of(np.ones(1), np.zeros((1, DIM)), np.eye(DIM)[None])
BATCH = 16  # images that a variant is looked at with, together and each alone
REPLICATES, DRAWS = 16, 250  # of the moments, for a standard error that needs no formula


class Case:
    """A mixture, its data, and the moments of one mean model, in independent sets of draws."""

    def __init__(
        self, imperfection: float, structures: tuple[str, ...] = (), law: Mixture = SEVERAL
    ):
        self.schedule, self.law = schedule.make("linear", N), law
        self.names = (SEED, "contract")
        self.data = data_of(self.law, self.names, test=1000)
        self.model = OracleModel(self.law, self.schedule, imperfection)
        self.moments = [
            moments.estimate(
                self.model,
                self.data,
                self.schedule,
                DRAWS,
                (*self.names, part),
                structures=structures,
            )
            for part in range(REPLICATES)
        ]

    def seen(
        self, variant: Variant, t: int, part: int = 0, radius: float = np.inf, images: int = BATCH
    ) -> Seen:
        """What a variant sees of a batch at step t; a head's output is uniform in [−1, 1]."""
        x_t = self.noised("seen", t, images)
        noise_of_t = self.schedule.noise[t]
        eps_hat, _, jacobian = differentiate(self.model, x_t, torch.full((images,), t), noise_of_t)
        x0_hat = (x_t - noise_of_t * eps_hat) / self.schedule.signal[t]
        output = None
        if variant.head is not None:
            size = (images, covariance.numbers_of(variant.name, self.data.shape) or DIM)
            numbers = noise.generator(*self.names, "output", t).uniform(-1, 1, size=size)
            output = torch.from_numpy(numbers)
        at = MomentsAt(self.moments[part], t, variant)
        return Seen(
            t, self.schedule, radius, eps_hat, x0_hat, at, output, self.data.shape, jacobian
        ).framed(variant)

    def noised(self, purpose: str, t: int, count: int) -> Float64[torch.Tensor, "{count} dim"]:
        """Draws of x_t."""
        x_0 = self.law.draw((*self.names, purpose, t), count)
        eps = torch.from_numpy(noise.normal((*self.names, purpose, t), 0, count, DIM))
        return self.schedule.signal[t] * x_0 + self.schedule.noise[t] * eps


cases = functools.cache(Case)


def case(variant: Variant, imperfection: float = 0.0, law: Mixture = SEVERAL) -> Case:
    """The case with the moments that `variant` reads."""
    return cases(imperfection, tuple(filter(second_moments.is_one, variant.moments)), law)
