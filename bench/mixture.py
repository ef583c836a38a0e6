"""A Gaussian mixture diffused: the case where every answer is known in closed form.

For x_0 ~ Σ_k w_k N(μ_k, Σ_k) the law of x_t = a_t x_0 + b_t ε is the mixture of N(a_t μ_k, C_k) with
C_k = a_t² Σ_k + b_t² I, and given x_t component k has the responsibility r_k ∝ w_k N(x_t; a_t μ_k, C_k) and

    E_k[x_0 | x_t] = μ_k + a_t Σ_k C_k⁻¹ (x_t − a_t μ_k),      Cov_k[x_0 | x_t] = Σ_k − a_t² Σ_k C_k⁻¹ Σ_k

(conditioning of a joint Gaussian). The mixture's conditional moments are those of the responsibilities' mixture,
and E[ε | x_t] = (x_t − a_t E[x_0 | x_t])/b_t is the perfect mean model.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from bench import noise
from bench.schedule import Schedule

SPREAD = 2.0  # standard deviation of the components' means; their own deviations lie in [0.1, 1]


@dataclass(frozen=True, eq=False)
class Mixture:
    """weights (k,), means (k, d), covariances (k, d, d); float64 tensors."""

    weights: torch.Tensor
    means: torch.Tensor
    covariances: torch.Tensor

    @property
    def dim(self):
        """The dimension d."""
        return self.means.shape[1]

    def law(self, signal=1.0, noise_sq=0.0):
        """The distribution of signal · x_0 + √noise_sq · ε, as a torch distribution."""
        covariances = signal**2 * self.covariances + noise_sq * torch.eye(self.dim, dtype=torch.float64)
        return MixtureSameFamily(Categorical(self.weights), MultivariateNormal(signal * self.means, covariances))

    def draw(self, names, count):
        """`count` draws of x_0, float64 (count, d), a function of `names`."""
        component = noise.generator(*names, "component").choice(len(self.weights), size=count, p=self.weights.numpy())
        eps = torch.from_numpy(noise.normal((*names, "x_0"), 0, count, self.dim))
        factors = torch.linalg.cholesky(self.covariances)[component]
        return self.means[component] + (factors @ eps[:, :, None])[:, :, 0]

    def moments(self):
        """(E[x_0], Cov[x_0]) of the mixture, (d,) and (d, d)."""
        return _combine(self.weights[None], self.means[None], self.covariances[None], squeeze=True)


def random(names, components, dim):
    """A mixture of `components` Gaussians in `dim` dimensions with random weights, means and full covariances."""
    draws = noise.generator(*names, "mixture")
    rotations = np.linalg.qr(draws.normal(size=(components, dim, dim)))[0]
    scales = draws.uniform(0.1, 1.0, size=(components, 1, dim))
    factors = rotations * scales
    weights = draws.dirichlet(np.full(components, 5.0))
    means = SPREAD * draws.normal(size=(components, dim))
    return Mixture(*(torch.from_numpy(array) for array in (weights, means, factors @ factors.transpose(0, 2, 1))))


def _combine(weights, means, covariances, squeeze=False):
    """Mean (n, d) and covariance (n, d, d) of mixtures: weights (n, k), means (n, k, d), covariances (1 or n, k, d, d)."""
    mean = (weights[:, :, None] * means).sum(1)
    centred = means - mean[:, None]
    spread = torch.einsum("nk,nki,nkj->nij", weights, centred, centred)
    within = torch.einsum("nk,nkij->nij", weights, covariances.expand(len(weights), -1, -1, -1))
    return (mean[0], (spread + within)[0]) if squeeze else (mean, spread + within)


class Oracle:
    """The conditional moments of a diffused mixture, and the perfect mean model made of them."""

    def __init__(self, mixture: Mixture, schedule: Schedule):
        self.mixture, self.schedule = mixture, schedule
        self._step = lru_cache(maxsize=None)(self._step)

    def _step(self, t):
        """What step t needs whatever x_t is: (components' law of x_t, gains (k, d, d), covariances (k, d, d))."""
        a, b2 = self.schedule.signal[t], self.schedule.noise_sq[t]
        law = self.mixture.law(a, b2)
        gains = a * torch.linalg.solve(law.component_distribution.covariance_matrix, self.mixture.covariances).mT
        return law, gains, self.mixture.covariances - a * gains @ self.mixture.covariances

    def conditional(self, x_t, t):
        """(E[x_0 | x_t], Cov[x_0 | x_t]) for x_t float64 (n, d) and a step t ≥ 1: (n, d) and (n, d, d)."""
        law, gains, covariances = self._step(t)
        log_joint = law.component_distribution.log_prob(x_t[:, None]) + torch.log(self.mixture.weights)
        innovation = x_t[:, None] - self.schedule.signal[t] * self.mixture.means
        means = self.mixture.means + torch.einsum("kij,nkj->nki", gains, innovation)
        return _combine(torch.softmax(log_joint, dim=1), means, covariances[None])

    def eps(self, x_t, t):
        """E[ε | x_t], (n, d)."""
        return (x_t - self.schedule.signal[t] * self.conditional(x_t, t)[0]) / self.schedule.noise[t]
