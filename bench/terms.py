"""The terms of the variational bound, each of one jump and in nats; `bench.bound` adds them up."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from bench.data.dataset import Data
from bench.process import Process
from bench.schedule import Schedule, Steps

Array = np.ndarray | Tensor
# of the groups of a frame, the same for all images or those of each
Sizes = float | Float64[np.ndarray, " groups"] | Float64[Tensor, "batch groups"]


def coefficients(
    lambda_sq: Array, gamma_sq: Array, sigma_sq: Array, log: Callable[[Array], Array]
) -> tuple[Array, Array]:
    """½(ln(σ²/λ²) + λ²/σ² − 1) and ½γ²/σ² of each coordinate, in the shape to which the arguments
    broadcast.

    All arguments are arrays and log is `np.log`, or all are tensors and log is `torch.log`.
    """
    ratio = lambda_sq / sigma_sq
    return 0.5 * (ratio - 1 - log(ratio)), 0.5 * gamma_sq / sigma_sq


def prior_term(
    schedule: Schedule, t: int, x_0: Float64[Tensor, "batch dim"]
) -> Float64[Tensor, " batch"]:
    """KL(q(x_t | x_0) ‖ N(0, I)) of each image, in nats."""
    variance = schedule.noise_sq[t]
    constant = variance - 1 - np.log(variance)
    return 0.5 * (constant + schedule.alpha_bar[t] * x_0**2).sum(1)


def middle_term(
    process: Process,
    s: Steps,
    t: Steps,
    sigma_sq: Float64[Tensor, "#batch #dim"],
    error_sq: Float64[Tensor, "batch groups"],
    sizes: Sizes = 1.0,
) -> Float64[Tensor, " batch"]:
    """KL(q(x_s | x_t, x_0) ‖ N(mean, σ²)) of each image, in nats (Ho et al. 2020, eq. 5, for a
    jump).

    s, t: steps with 1 ≤ s < t, or arrays (batch,) with a step of each row. sigma_sq: σ² in a frame.
    error_sq: the energies of x_0 − x̂_0 in it, for pixels (x_0 − x̂_0)². sizes: of its groups.
    """
    lambda_sq, gamma_sq = (
        torch.as_tensor(value, device=sigma_sq.device).reshape(-1, 1)
        for value in (process.lambda_sq(s, t), process.gamma(s, t) ** 2)
    )
    shape, slope = coefficients(lambda_sq, gamma_sq, sigma_sq, torch.log)
    shape = torch.as_tensor(sizes, device=shape.device) * shape
    return shape.expand(sigma_sq.shape[0], error_sq.shape[1]).sum(1) + (slope * error_sq).sum(1)


def last_sigma(schedule: Schedule, t: int) -> float:
    """The standard deviation of the last term for every variant, if the trajectory begins at τ_1 =
    t: √β̃_{1|2} of the full chain for t = 1, b_t for the others.
    """
    return np.sqrt(schedule.last_beta_tilde) if t == 1 else schedule.noise[t]


def last_term(
    data: Data,
    x_0: Float64[Tensor, "batch dim"],
    x0_hat: Float64[Tensor, "batch dim"],
    sigma: float | Float64[Tensor, "batch dim"],
) -> Float64[Tensor, " batch"]:
    """−log p(x_0 | x_τ1) of each image under the discretised Gaussian of mean x̂_0 and standard
    deviation sigma, in nats (Ho et al. 2020, eq. 13).

    data: with levels. sigma: above 0.
    """
    return last_term_by_coordinate(data, x_0, x0_hat, sigma).sum(1)


def last_term_by_coordinate(
    data: Data,
    x_0: Float64[Tensor, "batch dim"],
    x0_hat: Float64[Tensor, "batch dim"],
    sigma: float | Float64[Tensor, "batch dim"],
) -> Float64[Tensor, "batch dim"]:
    """The coordinates of which `last_term` is the sum."""
    half_bin = data.radius / (data.levels - 1)
    upper = torch.where(x_0 > data.hi - half_bin, torch.inf, (x_0 - x0_hat + half_bin) / sigma)
    lower = torch.where(x_0 < data.lo + half_bin, -torch.inf, (x_0 - x0_hat - half_bin) / sigma)
    return -log_normal_mass(lower, upper)


def last_term_continuous(
    schedule: Schedule,
    sigma_sq: Float64[Tensor, "#batch #dim"],
    error_sq: Float64[Tensor, "batch groups"],
    sizes: Sizes = 1.0,
) -> Float64[Tensor, " batch"]:
    """−log N(x_0; x̂_0, σ²) of each point, in nats, with σ² = β̃_{1|2} where `sigma_sq` is 0.

    sigma_sq, error_sq, sizes: as in `middle_term`.
    """
    variance = torch.where(sigma_sq > 0, sigma_sq, schedule.last_beta_tilde)
    sizes = torch.as_tensor(sizes, device=variance.device)
    return 0.5 * (sizes * torch.log(2 * np.pi * variance) + error_sq / variance).sum(1)


def log_normal_mass(
    lower: Float64[Tensor, "*shape"], upper: Float64[Tensor, "*shape"]
) -> Float64[Tensor, "*shape"]:
    """log(Φ(upper) − Φ(lower)) for lower < upper, accurate in both tails.

    An interval right of 0 is mirrored to the left, where Φ keeps its relative precision.
    """
    mirrored = lower > 0
    lower, upper = torch.where(mirrored, -upper, lower), torch.where(mirrored, -lower, upper)
    log_upper, log_lower = torch.special.log_ndtr(upper), torch.special.log_ndtr(lower)
    return log_upper + torch.log1p(-torch.exp(log_lower - log_upper))
