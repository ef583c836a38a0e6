"""A Gaussian mixture diffused: the case where every answer is known in closed form.

For x_0 ~ Σ_k w_k N(μ_k, Σ_k) the law of x_t = a_t x_0 + b_t ε is the mixture of N(a_t μ_k, C_k)
with C_k = a_t² Σ_k + b_t² I, and given x_t component k has the responsibility r_k ∝ w_k N(x_t; a_t
μ_k, C_k) and

    E_k[x_0 | x_t] = μ_k + a_t Σ_k C_k⁻¹ (x_t − a_t μ_k)
    Cov_k[x_0 | x_t] = Σ_k − a_t² Σ_k C_k⁻¹ Σ_k

(conditioning of a joint Gaussian). The mixture's conditional moments are those of the
responsibilities' mixture, and E[ε | x_t] = (x_t − a_t E[x_0 | x_t])/b_t is the perfect mean model.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Shaped
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from bench import noise
from bench.schedule import Schedule, levels

SPREAD = 2.0  # standard deviation of the components' means; their own deviations lie in [0.1, 1]


@dataclass(frozen=True, eq=False)
class Mixture:
    """Its components' weights, which sum to 1, means and covariances."""

    weights: Float64[Tensor, " k"]
    means: Float64[Tensor, "k d"]
    covariances: Float64[Tensor, "k d d"]

    def arrays(self) -> dict[str, np.ndarray]:
        """The parameters as named numpy arrays; `of` makes the mixture of them."""
        return {
            "weights": self.weights.numpy(),
            "means": self.means.numpy(),
            "covariances": self.covariances.numpy(),
        }

    @classmethod
    def of(
        cls,
        weights: Float64[np.ndarray, " k"],
        means: Float64[np.ndarray, "k d"],
        covariances: Float64[np.ndarray, "k d d"],
    ) -> "Mixture":
        """The mixture with these numpy arrays as parameters."""
        return cls(*(torch.from_numpy(array) for array in (weights, means, covariances)))

    @property
    def dim(self) -> int:
        """The dimension d."""
        return self.means.shape[1]

    def law(self, signal: float = 1.0, noise_sq: float = 0.0) -> MixtureSameFamily:
        """The distribution of signal · x_0 + √noise_sq · ε, as a torch distribution."""
        covariances = signal**2 * self.covariances + noise_sq * torch.eye(
            self.dim, dtype=torch.float64
        )
        return MixtureSameFamily(
            Categorical(self.weights), MultivariateNormal(signal * self.means, covariances)
        )

    def draw(self, names: tuple, count: int) -> Float64[Tensor, "{count} d"]:
        """`count` draws of x_0, a function of `names`."""
        component = noise.generator(*names, "component").choice(
            len(self.weights), size=count, p=self.weights.numpy()
        )
        eps = torch.from_numpy(noise.normal((*names, "x_0"), 0, count, self.dim))
        factors = torch.linalg.cholesky(self.covariances)[component]
        return self.means[component] + (factors @ eps[:, :, None])[:, :, 0]

    def moments(self) -> tuple[Float64[Tensor, " d"], Float64[Tensor, "d d"]]:
        """(E[x_0], Cov[x_0]) of the mixture."""
        mean, covariance = _combine(self.weights[None], self.means[None], self.covariances[None])
        return mean[0], covariance[0]


def random(names: tuple, components: int, dim: int) -> Mixture:
    """A mixture of `components` Gaussians in `dim` dimensions with random weights, means and full
    covariances."""
    draws = noise.generator(*names, "mixture")
    rotations = np.linalg.qr(draws.normal(size=(components, dim, dim)))[0]
    scales = draws.uniform(0.1, 1.0, size=(components, 1, dim))
    factors = rotations * scales
    weights = draws.dirichlet(np.full(components, 5.0))
    means = SPREAD * draws.normal(size=(components, dim))
    return Mixture.of(weights, means, factors @ factors.transpose(0, 2, 1))


def _combine(weights, means, covariances):
    """Mean (n, d) and covariance (n, d, d) of mixtures: weights (n, k), means (n, k, d),
    covariances (1 or n, k, d, d)."""
    mean = (weights[:, :, None] * means).sum(1)
    centred = means - mean[:, None]
    spread = torch.einsum("nk,nki,nkj->nij", weights, centred, centred)
    return mean, spread + (weights[:, :, None, None] * covariances).sum(1)


class Oracle:
    """The conditional moments of a diffused mixture, at any step of a schedule.

    All matrices of a component share the eigenvectors U of its Σ_k, so that with y = Uᵀ(x_t − a_t
    μ_k) everything is elementwise in the eigenvalues: C_k has a_t² λ + b_t², the gain a_t λ/(a_t² λ
    + b_t²), Cov_k b_t² λ/(a_t² λ + b_t²).
    """

    def __init__(self, mixture: Mixture, schedule: Schedule):
        self.mixture = mixture
        self.signal, self.noise = (
            torch.from_numpy(schedule.signal),
            torch.from_numpy(schedule.noise),
        )
        self.eigenvalues, self.bases = torch.linalg.eigh(mixture.covariances)

    def components(
        self, x_t: Float64[Tensor, "n d"], t: int | Shaped[Tensor, " n"]
    ) -> tuple[Float64[Tensor, "n k"], Float64[Tensor, "n k d"]]:
        """The responsibilities r_k and E_k[x_0 | x_t]. t: a step 1..N, or one for each row;
        floats may lie between steps.
        """
        a, spread = self._spread(t)
        y = torch.einsum("kij,nki->nkj", self.bases, x_t[:, None] - a * self.mixture.means)
        log_joint = torch.log(self.mixture.weights) - 0.5 * (y**2 / spread + torch.log(spread)).sum(
            2
        )
        means = self.mixture.means + torch.einsum(
            "kij,nkj->nki", self.bases, a * self.eigenvalues / spread * y
        )
        return torch.softmax(log_joint, dim=1), means

    def eps(
        self, x_t: Float64[Tensor, "n d"], t: int | Shaped[Tensor, " n"]
    ) -> Float64[Tensor, "n d"]:
        """E[ε | x_t]."""
        responsibilities, means = self.components(x_t, t)
        x_0 = (responsibilities[:, :, None] * means).sum(1)
        a, b = self._levels(t)
        return (x_t - a * x_0) / b

    def conditional(
        self, x_t: Float64[Tensor, "n d"], t: int | Shaped[Tensor, " n"]
    ) -> tuple[Float64[Tensor, "n d"], Float64[Tensor, "n d d"]]:
        """(E[x_0 | x_t], Cov[x_0 | x_t])."""
        _, spread = self._spread(t)
        _, b = self._levels(t)
        kept = b[:, None] ** 2 * self.eigenvalues / spread
        within = torch.einsum("kij,nkj,klj->nkil", self.bases, kept, self.bases)
        return _combine(*self.components(x_t, t), within)

    def variance(
        self, x_t: Float64[Tensor, "n d"], t: int | Shaped[Tensor, " n"]
    ) -> Float64[Tensor, "n d"]:
        """The diagonal of Cov[ε | x_t] = (a_t²/b_t²) Cov[x_0 | x_t]."""
        a, b = self._levels(t)
        return (a / b) ** 2 * torch.diagonal(self.conditional(x_t, t)[1], dim1=1, dim2=2)

    def _spread(self, t):
        """a_t (n or 1, 1, 1) and the eigenvalues of C_k, (n or 1, k, d)."""
        a, b = (values[:, None] for values in self._levels(t))
        return a, a**2 * self.eigenvalues + b**2

    def _levels(self, t):
        """(a_t, b_t), (n or 1, 1) each."""
        return levels(self.signal, self.noise, torch.as_tensor(t).reshape(-1))
