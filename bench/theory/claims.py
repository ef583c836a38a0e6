"""The claims of the papers, checked where the answer is known: on a diffused Gaussian mixture
(`bench.mixture`).

Every check is a function that yields rows, as `bench.theory.ground` describes them.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from bench import covariance, mixture, noise, process, schedule, thresholds
from bench.data.readers.mixture import law_of
from bench.papers import published, table7
from bench.theory import bounds, structures
from bench.theory.ground import SCALARS, SIGMAS, Ground, row, sigmas, within
from bench.theory.learned import learned


def perfect_mean(ground: Ground, steps: Iterable[int]) -> Iterator[dict[str, Any]]:
    """At perfect mean the closed forms all equal (a²/b²) E Cov[x_0 | x_t]."""
    dim = ground.law.dim
    for t in steps:
        exact, error = ground.exact_v(t)
        trace_error = np.sqrt((np.diag(error) ** 2).mean())
        for name, quantity in (
            ("analytic_scalar", "eps_sq"),
            ("total_variance", "total_variance"),
            ("mle_scalar", "error_sq"),
        ):
            variant = covariance.get(name)
            stderr = np.hypot(ground.moments[f"{quantity}_mean_se"][t], trace_error)
            yield within(
                f"perfect mean: {name} is (a²/b²) E tr Cov[x_0|x_t]/d at t = {t}",
                variant.source,
                np.trace(exact) / dim,
                ground.v(name, t, ground.moments),
                stderr,
            )
        for name, quantity in (("analytic_diagonal", "eps_sq"), ("mle_diagonal", "error_sq")):
            variant = covariance.get(name)
            stderr = np.hypot(ground.moments[f"{quantity}_se"][t], np.diag(error))
            v = ground.v(name, t, ground.moments)
            score = (v - np.diag(exact)) / stderr
            worst = np.abs(score).argmax()
            yield within(
                f"perfect mean: {name} is its diagonal at t = {t} (worst coordinate)",
                variant.source,
                exact[worst, worst],
                v[worst],
                stderr[worst],
                worst_of=dim,
            )


def ranges(ground: Ground) -> Iterator[dict[str, Any]]:
    """State-independent v lie in [0, 1] at perfect mean, and σ² keeps Theorem 2's bounds at every
    (s, t).
    """
    N = ground.schedule.N
    v = 1 - ground.moments["eps_sq_mean"][1:]
    stderr = ground.moments["eps_sq_mean_se"][1:]
    slack = sigmas(N) * stderr
    yield row(
        "perfect mean: smallest analytic_scalar v over t is at least 0",
        "Bao 2022a",
        0,
        v.min(),
        stderr[v.argmin()],
        (v >= -slack).all(),
    )
    yield row(
        "perfect mean: largest analytic_scalar v over t is at most 1",
        "Bao 2022a",
        1,
        v.max(),
        stderr[v.argmax()],
        (v <= 1 + slack).all(),
    )
    broken, pairs = 0, list(itertools.combinations(range(1, N + 1), 2))
    for s, t in pairs:
        sigma_sq = ground.sigma_sq("analytic_scalar", s, t, ground.moments)
        lower, upper, _ = thresholds.bounds(ground.ddpm, s, t)
        broken += not lower * (1 - 1e-12) <= sigma_sq <= upper * (1 + 1e-12)
    yield row(
        f"perfect mean: edges of {len(pairs)} that break Theorem 2's lower or first upper bound",
        "Bao 2022a",
        0,
        broken,
        0,
        broken == 0,
    )


def imperfect_mean(ground: Ground, steps: Iterable[int]) -> Iterator[dict[str, Any]]:
    """E‖ε − ε̂‖² is the perfect value plus E‖bias‖². The rows of the estimate that assumes a perfect
    mean have no verdict: they are always true.
    """
    dim = ground.law.dim
    for t in steps:
        exact, error = ground.exact_v(t)
        bias_sq = ground.imperfect.bias(ground.noised(t, "bias")).square().mean(1)
        expected = np.trace(exact) / dim + bias_sq.mean().item()
        stderr = np.sqrt(
            ground.imperfect_moments["error_sq_mean_se"][t] ** 2
            + (np.diag(error) ** 2).mean()
            + bias_sq.var().item() / ground.draws
        )
        mle = ground.v("mle_scalar", t, ground.imperfect_moments)
        yield within(
            f"imperfect mean: mle_scalar is the perfect value plus E‖bias‖²/d at t = {t}",
            "Su 2022b",
            expected,
            mle,
            stderr,
        )
        analytic = ground.v("analytic_scalar", t, ground.imperfect_moments)
        miss = np.hypot(stderr, ground.imperfect_moments["eps_sq_mean_se"][t])
        yield row(
            f"imperfect mean: what analytic_scalar makes of it at t = {t} (told, not judged)",
            "Su 2022b",
            expected,
            analytic,
            miss,
            True,
        )


def likelihood_is_best(ground: Ground) -> Iterator[dict[str, Any]]:
    """On fresh draws no scalar variance has a lower expected KL than `mle_scalar`, at any edge."""
    fresh = ground.estimate(ground.imperfect, "fresh")
    error, stderr = fresh["error_sq_mean"], fresh["error_sq_mean_se"]
    N, dim = ground.schedule.N, ground.law.dim
    for name in SCALARS:
        if name == "mle_scalar":
            continue
        worst, allowed = -np.inf, 0.0
        for s, t in itertools.combinations(range(1, N + 1), 2):
            scale = ground.schedule.noise_sq[t] / ground.schedule.alpha_bar[t]
            gamma_sq, lam = ground.ddpm.gamma(s, t) ** 2 * scale, ground.ddpm.lambda_sq(s, t)
            sigma_sq = {
                other: ground.sigma_sq(other, s, t, ground.imperfect_moments)
                for other in (name, "mle_scalar")
            }
            cost = {
                other: 0.5 * dim * (np.log(value / lam) + (lam + gamma_sq * error[t]) / value - 1)
                for other, value in sigma_sq.items()
            }
            slack = (
                0.5
                * dim
                * gamma_sq
                * stderr[t]
                * abs(1 / sigma_sq["mle_scalar"] - 1 / sigma_sq[name])
            )
            excess = cost["mle_scalar"] - cost[name]
            if excess - SIGMAS * slack > worst - SIGMAS * allowed:
                worst, allowed = excess, slack
        yield row(
            f"imperfect mean: at the worst edge mle_scalar's KL exceeds {name}'s by at most 0 nats",
            "Su 2022b; Bao 2022b",
            0,
            worst,
            allowed,
            worst <= SIGMAS * allowed,
        )


def published_thresholds() -> Iterator[dict[str, Any]]:
    """Every cell of Table 7 of Bao 2022a, at its printed digits."""
    for cell in table7.recompute(published.sigma2_cells()):
        yield row(
            f"Table 7: {cell['quantity']}, {cell['setting']}, {cell['process']}, K = {cell['K']}",
            cell["published_source"],
            cell["published"],
            cell["value"],
            0,
            cell["agrees"],
        )


def reverse_step(
    seed: int, draws: int = 100_000, s: int = 15, t: int = 35, N: int = 50
) -> Iterator[dict[str, Any]]:
    """One reverse step with the exact conditional moments gives x_s its exact mean and covariance;
    with λ² alone it does not.
    """
    made = schedule.make("linear", N)
    law = law_of(4, 2)
    oracle = mixture.Oracle(law, made)
    x_0 = law.draw((seed, "two", "x_0"), draws)
    x_t = made.signal[t] * x_0 + made.noise[t] * torch.from_numpy(
        noise.normal((seed, "two", "ε"), 0, draws, 2)
    )
    x0_hat, matrices = oracle.conditional(x_t, t)
    eps_hat, fresh = (
        oracle.eps(x_t, t),
        torch.from_numpy(noise.normal((seed, "two", "step"), 0, draws, 2)),
    )
    mean, matrix = law.moments()
    exact_mean, exact = (
        made.signal[s] * mean,
        made.alpha_bar[s] * matrix + made.noise_sq[s] * torch.eye(2, dtype=torch.float64),
    )
    for name, eta in (("ddpm", 1.0), ("ddim", 0.0), ("ddim", 0.5), ("ddim", 1.0)):
        forward = process.make(name, made, eta)
        lam, gamma_sq = forward.lambda_sq(s, t), forward.gamma(s, t) ** 2
        factors = torch.linalg.cholesky(
            lam * torch.eye(2, dtype=torch.float64) + gamma_sq * matrices
        )
        centre = forward.mean(s, t, x_t, x0_hat, eps_hat)
        steps = {
            "exact covariance": centre + (factors @ fresh[:, :, None])[:, :, 0],
            "λ² alone": centre + lam**0.5 * fresh,
        }
        for label, x_s in steps.items():
            yield from _moments_of(f"{name}, η = {eta:g}, {label}", x_s, exact_mean, exact)


def _moments_of(which, x_s, exact_mean, exact):
    """Rows on the mean and the covariance of draws of x_s, whose exact ones are given."""
    draws = len(x_s)
    yield within(
        f"{which}: mean of x_s (first coordinate)",
        "Su 2022a",
        exact_mean[0],
        x_s[:, 0].mean(),
        x_s[:, 0].std() / draws**0.5,
    )
    squares = (x_s - exact_mean).square().sum(1)
    stderr = squares.std() / draws**0.5
    met = abs(squares.mean() - exact.trace()) <= SIGMAS * stderr
    too_narrow = which.endswith("λ² alone")
    yield row(
        f"{which}: tr Cov of x_s is {'missed' if too_narrow else 'met'}",
        "Su 2022a",
        exact.trace(),
        squares.mean(),
        stderr,
        met != too_narrow,
    )
    if too_narrow:
        return
    centred = x_s - x_s.mean(0)
    products = centred[:, 0] * centred[:, 1]
    yield within(
        f"{which}: covariance of the two coordinates of x_s",
        "Su 2022a",
        exact[0, 1],
        products.mean(),
        products.std() / draws**0.5,
    )


def check(seed: int, draws: int = 4000) -> list[dict[str, Any]]:
    """All rows. draws: Monte Carlo size of the checks on the 16-dimensional mixture."""
    ground = Ground(seed, draws=draws)
    steps = [1, 5, 15, 30, 50]
    checks = [
        perfect_mean(ground, steps),
        structures.full_matrices(ground, steps),
        structures.jacobian_is_exact(ground, steps),
        structures.lanczos_converges(ground, 15, 30),
        structures.row_sums(ground, steps),
        structures.exact_covariance_is_best(ground, [2, 5, ground.schedule.N]),
        ranges(ground),
        imperfect_mean(ground, steps),
        likelihood_is_best(ground),
        bounds.bound_is_above(ground, [2, 5, ground.schedule.N]),
        bounds.one_gaussian(),
        learned(seed),
        bounds.trajectories(seed),
        bounds.optimal_is_least(ground),
        reverse_step(seed),
        published_thresholds(),
    ]
    return list(itertools.chain.from_iterable(checks))
