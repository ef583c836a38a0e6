"""Forward-process families and the reverse transition they imply.

    q(x_s | x_t, x_0) = N(a_s x_0 + c (x_t − a_t x_0)/b_t, λ² I),      c = √(b_s² − λ²),

with λ² = η² β̃_{s|t}: η = 1 is DDPM, η = 0 the deterministic DDIM (Song et al. 2020, 2010.02502).
When Cov[x_0 | x_t] is approximated by Σ_0(x_t), matching moments gives the reverse transition (Bao
et al. 2022a, Theorem 1; Su 2022a, eq. 4)

    covariance  λ² I + γ² Σ_0(x_t),      γ = a_s − a_t c/b_t.

Its mean is written with x_t for DDPM, γ x̂_0 + (c/b_t) x_t, and with ε̂ for DDIM, a_s x̂_0 + c ε̂.
The two agree unless x̂_0 is clipped to the data range; each process keeps the form of its authors'
code, and for DDPM it is the one whose KL divergence has the mean term γ² (x_0 − x̂_0)².

A process of second order, `ddpm_2m` or `ddim_2m`, has another mean of the data. It extrapolates
along the trajectory, from the step u before t, in ℓ = ln(a/b):

    D = x̂_0(x_t) + (x̂_0(x_t) − x̂_0(x_u))/(2r),      r = (ℓ_t − ℓ_u)/(ℓ_s − ℓ_t),

clipped to the data range, and x_s = γ D + (c/b_t) x_t + σ z. With σ = λ these are the multistep
solvers 2M of DPM-Solver++ (Lu et al. 2022, 2211.01095): the SDE's for η = 1, the ODE's for η = 0.
"""

from dataclasses import dataclass
from typing import ForwardRef, Union

import numpy as np

from bench.runtime.errors import BenchError, unknown
from bench.schedule import Numbers, Schedule, Steps

FAMILIES = ("ddpm", "ddim")
SECOND_ORDER = "_2m"  # behind the name of a family
PROCESSES = (*FAMILIES, *(f"{family}{SECOND_ORDER}" for family in FAMILIES))
BOUND_PROCESS = "ddpm"  # whose bound is evaluated: that of ddim is infinite at η = 0
SECOND_ORDER_BOUND = f"{BOUND_PROCESS}{SECOND_ORDER}"  # has one too, see `bench.bound_2m`
BOUND_PROCESSES = (BOUND_PROCESS, SECOND_ORDER_BOUND)

Tensor = ForwardRef("torch.Tensor")  # a name only: this module does not import torch
Array = Union[np.ndarray, Tensor]  # noqa: UP007, a ForwardRef has no operator |


@dataclass(frozen=True, eq=False)
class Process:
    """A forward-process family on a schedule, and the order of its mean.

    η ∈ [0, 1] is 1 for ddpm.
    """

    name: str
    schedule: Schedule
    eta: float

    @property
    def order(self) -> int:
        """1, or 2 if the mean extrapolates from the step before."""
        return 2 if self.name.endswith(SECOND_ORDER) else 1

    def lambda_sq(self, s: Steps, t: Steps) -> Numbers:
        """λ²_{s|t}, the variance of q(x_s | x_t, x_0)."""
        return self.eta**2 * self.schedule.beta_tilde(s, t)

    def carry(self, s: Steps, t: Steps) -> Numbers:
        """c = √(b_s² − λ²), written as a sum of positive terms so that nothing cancels."""
        b2 = self.schedule.noise_sq
        kept = (1 - self.eta**2) * b2[t] + self.eta**2 * self.schedule.skip_alpha(s, t) * b2[s]
        return np.sqrt(b2[s] * kept / b2[t])

    def gamma(self, s: Steps, t: Steps) -> Numbers:
        """γ = a_s − a_t c/b_t, the weight of x_0 given x_t, without cancellation; ≥ 0."""
        a, b = self.schedule.signal, self.schedule.noise
        spread = a[s] ** 2 * self.schedule.skip_beta(s, t) + a[t] ** 2 * self.lambda_sq(s, t)
        return spread / (b[t] * (a[s] * b[t] + a[t] * self.carry(s, t)))

    def mean(self, s: Steps, t: Steps, x_t: Array, x0_hat: Array, eps_hat: Array) -> Array:
        """The mean of x_s given x_t, (batch, dim) as x_t. x̂_0 may be clipped, or be the D of
        `extrapolate`. ε̂ is the network's prediction.
        """
        if self.order == 2 or self.name == "ddpm":
            return self.gamma(s, t) * x0_hat + self.carry(s, t) / self.schedule.noise[t] * x_t
        return self.schedule.signal[s] * x0_hat + self.carry(s, t) * eps_hat

    def extrapolate(self, s: int, t: int, u: int, x0_hat: Array, x0_hat_u: Array) -> Array:
        """D of a jump t → s after a jump u → t, 0 < s < t < u, (batch, dim), not clipped.

        x0_hat, x0_hat_u: x̂_0 at x_t and at x_u.
        """
        steps = [s, t, u]
        of_s, of_t, of_u = np.log(self.schedule.signal[steps] / self.schedule.noise[steps])
        r = (of_t - of_u) / (of_s - of_t)
        return x0_hat + (x0_hat - x0_hat_u) / (2 * r)


def family(name: str) -> str:
    """The family of the process called `name`. BenchError unless it is one of `PROCESSES`."""
    if name not in PROCESSES:
        raise unknown("process", name, PROCESSES)
    return name.removesuffix(SECOND_ORDER)


def make(name: str, schedule: Schedule, eta: float = 0.0) -> Process:
    """The process called `name`. BenchError unless it is one of `PROCESSES`, and 0 ≤ η ≤ 1.

    eta: η of ddim and ddim_2m; ignored for the others.
    """
    if not 0 <= eta <= 1:
        raise BenchError(f"eta: expected 0 ≤ η ≤ 1, found {eta:g}")
    return Process(name, schedule, 1.0 if family(name) == "ddpm" else float(eta))
