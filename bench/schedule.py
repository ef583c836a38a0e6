"""Noise schedules: the forward process x_n = a_n x_0 + b_n ε of N steps.

β_n is the noise of step n = 1..N (β_0 = 0), ᾱ_n = ∏_{i≤n} (1 − β_i), a_n = √ᾱ_n (`signal`) and b_n
= √(1 − ᾱ_n) (`noise`); index 0 is data, index N is noise. Everything is derived from log ᾱ, which
is summed in extended precision, so that 1 − ᾱ_t/ᾱ_s keeps its digits for neighbouring s and t.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ForwardRef

import numpy as np
from jaxtyping import Float64, Int, Shaped

from bench.runtime.errors import unknown

# A step 0..N, or an array of steps; and what a schedule says of them, in the same shape.
Steps = int | np.integer | Int[np.ndarray, "*shape"]
Numbers = np.float64 | Float64[np.ndarray, "*shape"]
Tensor = ForwardRef("torch.Tensor")  # a name only: this module does not import torch


def linear(N: int) -> Float64[np.ndarray, " N"]:
    """β from 1e-4·(1000/N) to 0.02·(1000/N) (Ho et al. 2020, rescaled as by Nichol & Dhariwal
    2021)."""
    return np.linspace(1e-4 * 1000 / N, 0.02 * 1000 / N, N, dtype=np.float64)


def cosine(N: int) -> Float64[np.ndarray, " N"]:
    """β_n = min(1 − ᾱ(n/N)/ᾱ((n−1)/N), 0.999) with ᾱ(u) = cos²((u + 0.008)/1.008 · π/2) (Nichol &
    Dhariwal 2021)."""
    u = np.arange(N + 1, dtype=np.float64) / N
    alpha_bar = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)


SCHEDULES = {"linear": linear, "cosine": cosine}


@dataclass(frozen=True, eq=False)
class Schedule:
    """A noise schedule. beta[0] = 0 and 0 < beta[n] < 1; an array of it has N + 1 rows."""

    beta: Float64[np.ndarray, " steps"]

    @property
    def N(self) -> int:
        """The number of steps."""
        return len(self.beta) - 1

    @cached_property
    def log_alpha_bar(self) -> Shaped[np.ndarray, " steps"]:
        """log ᾱ_n in extended precision (where the platform has it), shape (N + 1,)."""
        return np.cumsum(np.log1p(-self.beta.astype(np.longdouble)))

    @cached_property
    def alpha_bar(self) -> Float64[np.ndarray, " steps"]:
        """ᾱ_n, shape (N + 1,)."""
        return np.exp(self.log_alpha_bar).astype(np.float64)

    @cached_property
    def signal(self) -> Float64[np.ndarray, " steps"]:
        """a_n = √ᾱ_n, shape (N + 1,)."""
        return np.exp(0.5 * self.log_alpha_bar).astype(np.float64)

    @cached_property
    def noise_sq(self) -> Float64[np.ndarray, " steps"]:
        """b_n² = 1 − ᾱ_n, shape (N + 1,)."""
        return -np.expm1(self.log_alpha_bar).astype(np.float64)

    @cached_property
    def noise(self) -> Float64[np.ndarray, " steps"]:
        """b_n = √(1 − ᾱ_n), shape (N + 1,)."""
        return np.sqrt(self.noise_sq)

    def skip_alpha(self, s: Steps, t: Steps) -> Numbers:
        """α_{t|s} = ᾱ_t/ᾱ_s for 0 ≤ s ≤ t ≤ N (numbers or arrays that broadcast)."""
        return np.float64(np.exp(self.log_alpha_bar[t] - self.log_alpha_bar[s]))

    def skip_beta(self, s: Steps, t: Steps) -> Numbers:
        """β_{t|s} = 1 − ᾱ_t/ᾱ_s, the noise of the jump s → t."""
        return np.float64(-np.expm1(self.log_alpha_bar[t] - self.log_alpha_bar[s]))

    def beta_tilde(self, s: Steps, t: Steps) -> Numbers:
        """β̃_{s|t} = β_{t|s} b_s²/b_t², the variance of q(x_s | x_t, x_0) (Ho et al. 2020, for a
        jump)."""
        return self.skip_beta(s, t) * self.noise_sq[s] / self.noise_sq[t]

    @property
    def last_beta_tilde(self) -> np.float64:
        """β̃_{1|2}, which stands in where β̃_{0|1} = 0 is of no use, on the step to the data; β_1
        in a chain of one step."""
        return self.beta_tilde(1, 2) if self.N > 1 else self.noise_sq[1]


def levels(signal: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """(a_t, b_t) of each row, (batch, 1) each.

    signal, noise: of the schedule. t: a step of each row, (batch,). It may lie between two steps if
    its type is a float; then the noise level b/a is linear in t, as in diffusers' schedulers.
    """
    if not t.is_floating_point():
        return signal[t][:, None], noise[t][:, None]
    below, above = t.floor().long(), t.ceil().long()
    ratio = noise / signal
    level = (ratio[below] + (t - below) * (ratio[above] - ratio[below]))[:, None]
    a = (1 + level**2) ** -0.5
    return a, level * a


def make(name: str, N: int) -> Schedule:
    """The schedule called `name` with N ≥ 1 steps; BenchError for an unknown name."""
    if name not in SCHEDULES:
        raise unknown("schedule", name, SCHEDULES)
    # Rescaled to few steps the linear β exceeds 1; like the cosine one it then stops at 0.999.
    return Schedule(np.concatenate([[0.0], np.minimum(SCHEDULES[name](N), 0.999)]))
