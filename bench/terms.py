"""The terms of the variational bound, each of one jump and in nats; `bench.bound` adds them up."""

import numpy as np
import torch


def coefficients(lambda_sq, gamma_sq, sigma_sq, log):
    """½(ln(σ²/λ²) + λ²/σ² − 1) and ½γ²/σ² of each coordinate; all arrays or all tensors, which
    broadcast.
    """
    ratio = lambda_sq / sigma_sq
    return 0.5 * (ratio - 1 - log(ratio)), 0.5 * gamma_sq / sigma_sq


def prior_term(schedule, t, x_0):
    """KL(q(x_t | x_0) ‖ N(0, I)) of each image, in nats, shape (batch,)."""
    variance = schedule.noise_sq[t]
    constant = variance - 1 - np.log(variance)
    return 0.5 * (constant + schedule.alpha_bar[t] * x_0**2).sum(1)


def middle_term(process, s, t, sigma_sq, error_sq):
    """KL(q(x_s | x_t, x_0) ‖ N(mean, σ²)) of each image, in nats, shape (batch,).

    s, t: steps, or arrays (batch,) of each row's own; sigma_sq: σ², (1 or batch, 1 or dim);
    error_sq: (x_0 − x̂_0)², (batch, dim).
    """
    lambda_sq, gamma_sq = (
        torch.as_tensor(value, device=sigma_sq.device).reshape(-1, 1)
        for value in (process.lambda_sq(s, t), process.gamma(s, t) ** 2)
    )
    shape, slope = coefficients(lambda_sq, gamma_sq, sigma_sq, torch.log)
    return shape.expand(sigma_sq.shape[0], error_sq.shape[1]).sum(1) + (slope * error_sq).sum(1)


def last_sigma(schedule):
    """√β̃_{1|2} of the full chain, the deviation of the last term whatever the variant."""
    return np.sqrt(schedule.last_beta_tilde)


def last_term(data, x_0, x0_hat, sigma):
    """−log p(x_0 | x_τ1) of each image under the discretised Gaussian of mean x̂_0, in nats, shape
    (batch,).

    sigma: its standard deviation, a number or (batch, dim).
    """
    half_bin = data.radius / (data.levels - 1)
    upper = torch.where(x_0 > data.hi - half_bin, torch.inf, (x_0 - x0_hat + half_bin) / sigma)
    lower = torch.where(x_0 < data.lo + half_bin, -torch.inf, (x_0 - x0_hat - half_bin) / sigma)
    return -log_normal_mass(lower, upper).sum(1)


def last_term_continuous(schedule, sigma_sq, error_sq):
    """−log N(x_0; x̂_0, σ²) of each point, in nats, shape (batch,)."""
    variance = torch.where(sigma_sq > 0, sigma_sq, schedule.last_beta_tilde)
    return 0.5 * (torch.log(2 * np.pi * variance) + error_sq / variance).sum(1)


def log_normal_mass(lower, upper):
    """log(Φ(upper) − Φ(lower)) for lower < upper, exact in both tails.

    An interval right of 0 is mirrored to the left, where Φ keeps its relative precision.
    """
    mirrored = lower > 0
    lower, upper = torch.where(mirrored, -upper, lower), torch.where(mirrored, -lower, upper)
    log_upper, log_lower = torch.special.log_ndtr(upper), torch.special.log_ndtr(lower)
    return log_upper + torch.log1p(-torch.exp(log_lower - log_upper))
