"""Claims about covariances that are more than a diagonal: full matrices, and the mean model's own
Jacobian.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from bench import bound, covariance, noise, trajectory
from bench.covariance import MomentsAt, Seen
from bench.denoiser import Denoiser
from bench.jacobian import differentiate
from bench.theory.ground import SCALARS, SIGMAS, Ground, row, within
from bench.theory.learned import side_by_side, true_matrices

ROUNDING = 1e-9  # of eigenvectors and inverses in float64, relative
EXACT = "jacobian"
RIVALS = (
    *SCALARS,
    *("analytic_diagonal", "mle_diagonal", "analytic_dct", "mle_dct", "mle_rank-2", "tmpd"),
    *("analytic_full", "mle_full"),
)


def full_matrices(ground: Ground, steps: Iterable[int]) -> Iterator[dict[str, Any]]:
    """I − E[ε̂ε̂ᵀ] and E[(ε − ε̂)(ε − ε̂)ᵀ] both equal (a²/b²) E Cov[x_0 | x_t] at perfect mean (Su
    2022b, eq. 5).
    """
    dim = ground.law.dim
    identity = torch.eye(dim, dtype=torch.float64)
    for t in steps:
        exact, error = ground.exact_v(t)
        x_t, eps = ground.noised_with(t, "full")
        eps_hat = ground.oracle.eps(x_t, t)
        of_draws = {"analytic_full": identity - _outer(eps_hat), "mle_full": _outer(eps - eps_hat)}
        for name, samples in of_draws.items():
            variant = covariance.get(name)
            seen = Seen(t, ground.schedule, moments=MomentsAt(ground.moments, t, variant))
            seen = seen.framed(variant)
            spectrum = torch.as_tensor(variant.spectrum(seen))[None]
            matrix = seen.frame.colour(spectrum, identity).numpy()
            stderr = np.hypot((samples.std(0) / ground.draws**0.5).numpy(), error)
            worst = np.unravel_index((np.abs(matrix - exact) / stderr).argmax(), exact.shape)
            yield within(
                f"perfect mean: {name} is the full matrix at t = {t} (worst entry)",
                variant.source,
                exact[worst],
                matrix[worst],
                stderr[worst],
                worst_of=dim * (dim + 1) // 2,
            )


def _outer(vectors: Float64[Tensor, "draws dim"]):
    return vectors[:, :, None] * vectors[:, None, :]


def jacobian_is_exact(
    ground: Ground, steps: Iterable[int], points: int = 200
) -> Iterator[dict[str, Any]]:
    """At perfect mean I − b ∂ε̂/∂x_t is Cov[ε | x_t] of each x_t (Meng et al. 2021)."""
    for t in steps:
        x_t = ground.noised(t, "jacobian")[:points]
        seen, exact = _seen(ground, x_t, t), true_matrices(ground.perfect, ground.schedule, x_t, t)
        matrices, _ = side_by_side(covariance.get(EXACT), seen, exact)
        worst = (matrices - exact.flatten(1)).abs().max().item()
        yield row(
            f"perfect mean: largest entry of {EXACT} less Cov[ε|x_t], {points} points at t = {t}",
            covariance.get(EXACT).source,
            0,
            worst,
            0,
            worst <= ROUNDING,
        )


def lanczos_converges(
    ground: Ground, s: int, t: int, points: int = 200
) -> Iterator[dict[str, Any]]:
    """The noise of a step by m products with the Jacobian comes near that by all of it, and equals
    it at m = d (Akhtar 2026).
    """
    dim = ground.law.dim
    x_t = ground.noised(t, "lanczos")[:points]
    z = torch.from_numpy(noise.normal((*ground.names, "lanczos"), 0, len(x_t), dim))
    exact, before = _exact_noise(ground, x_t, s, t, z), np.inf
    for products in sorted({1, 2, 4, dim // 2, dim}):
        variant = covariance.get(f"lanczos-{products}")
        seen = replace(_seen(ground, x_t, t), direction=z).framed(variant)
        sigma = variant.reverse_variance(ground.ddpm, s, seen).sqrt()
        missed = ((seen.frame.colour(sigma, z) - exact).norm() / exact.norm()).item()
        allowed = ROUNDING if products == dim else before
        yield row(
            f"perfect mean: relative error of the noise of {variant.name} in the step {t} → {s} "
            f"(d = {dim}) is at most",
            variant.source,
            min(allowed, 1.0),
            missed,
            0,
            missed <= allowed,
        )
        before = missed


def row_sums(ground: Ground, steps: Iterable[int], points: int = 200) -> Iterator[dict[str, Any]]:
    """At perfect mean `tmpd` is the row sums of Cov[ε | x_t] of each x_t (Boys et al. 2023)."""
    variant = covariance.get("tmpd")
    for t in steps:
        x_t = ground.noised(t, "row sums")[:points]
        exact = true_matrices(ground.perfect, ground.schedule, x_t, t).sum(2)
        worst = (variant.spectrum(_seen(ground, x_t, t)) - exact).abs().max().item()
        yield row(
            f"perfect mean: largest entry of tmpd less the row sums of Cov[ε|x_t] at t = {t}",
            variant.source,
            0,
            worst,
            0,
            worst <= ROUNDING,
        )


def _seen(ground, x_t, t):
    """What the exact variant sees of points at step t."""
    times = torch.full((len(x_t),), t)
    eps_hat, _, jacobian = differentiate(ground.perfect, x_t, times, ground.schedule.noise[t])
    seen = Seen(t, ground.schedule, eps_hat=eps_hat, shape=ground.data.shape, jacobian=jacobian)
    return seen.framed(covariance.get(EXACT))


def _exact_noise(ground, x_t, s, t, z):
    """The root of λ² + γ² Cov[x_0 | x_t] times z."""
    _, of_x_0 = ground.oracle.conditional(x_t, t)
    identity = torch.eye(ground.law.dim, dtype=torch.float64)
    matrices = ground.ddpm.lambda_sq(s, t) * identity + ground.ddpm.gamma(s, t) ** 2 * of_x_0
    values, vectors = torch.linalg.eigh(matrices)
    roots = vectors @ torch.diag_embed(values.sqrt()) @ vectors.mT
    return (roots @ z[:, :, None])[:, :, 0]


def exact_covariance_is_best(
    ground: Ground, Ks: Sequence[int], points: int = 1000
) -> Iterator[dict[str, Any]]:
    """At perfect mean no covariance has a lower bound than Cov[x_0 | x_t] itself, at any K.

    points: the number of test points, at most.
    """
    variants, points = (EXACT, *RIVALS), min(points, len(ground.data.test))
    cells = [
        bound.Cell("even", name, K, tuple(trajectory.even(ground.schedule.N, K)))
        for K in Ks
        for name in variants
    ]
    denoiser = Denoiser(ground.perfect, {}, ground.moments, ground.data, ground.schedule)
    values = bound.evaluate(denoiser, ground.ddpm, cells, points, ground.names).total
    by_cell = {(cell.variant, cell.K): value for cell, value in zip(cells, values, strict=True)}
    for K in Ks:
        exact = by_cell[EXACT, K]
        for name in RIVALS:
            excess = by_cell[name, K] - exact
            stderr = excess.std(ddof=1) / points**0.5
            yield row(
                f"perfect mean: the bound of {name} is above that of {EXACT}, K = {K} (nats)",
                covariance.get(EXACT).source,
                exact.mean(),
                exact.mean() + excess.mean(),
                stderr,
                excess.mean() >= -SIGMAS * stderr,
            )
