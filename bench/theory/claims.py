"""The claims of the papers, checked where the answer is known: on a diffused Gaussian mixture
(`bench.mixture`).

Every check is a function that yields rows, as `bench.theory.ground` describes them.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from bench import bound, covariance, mixture, noise, process, schedule, thresholds, trajectory
from bench.data.readers.mixture import law_of
from bench.denoiser import Denoiser
from bench.papers import published, table7
from bench.theory.ground import SIGMAS, Ground, row, sigmas, within
from bench.theory.learned import learned

SCALARS = ("beta_tilde", "beta", "analytic_scalar", "total_variance", "mle_scalar")


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


def full_matrices(ground: Ground, steps: Iterable[int]) -> Iterator[dict[str, Any]]:
    """I − E[ε̂ε̂ᵀ] and E[(ε − ε̂)(ε − ε̂)ᵀ] both equal (a²/b²) E Cov[x_0 | x_t] at perfect mean (Su
    2022b, eq. 5).
    """
    dim = ground.law.dim
    for t in steps:
        exact, error = ground.exact_v(t)
        x_0 = ground.law.draw((*ground.names, "full", t), ground.draws)
        eps = torch.from_numpy(noise.normal((*ground.names, "full", t), 0, ground.draws, dim))
        eps_hat = ground.oracle.eps(
            ground.schedule.signal[t] * x_0 + ground.schedule.noise[t] * eps, t
        )
        outer = lambda z: z[:, :, None] * z[:, None]
        for name, samples in (
            ("I − E[ε̂ε̂ᵀ]", outer(eps) - outer(eps_hat)),
            ("E[(ε−ε̂)(ε−ε̂)ᵀ]", outer(eps - eps_hat)),
        ):
            stderr = np.hypot((samples.std(0) / ground.draws**0.5).numpy(), error)
            score = np.abs(samples.mean(0).numpy() - exact) / stderr
            worst = np.unravel_index(score.argmax(), score.shape)
            yield within(
                f"perfect mean: {name} is the full matrix at t = {t} (worst entry)",
                "Su 2022b",
                exact[worst],
                samples.mean(0).numpy()[worst],
                stderr[worst],
                worst_of=dim * (dim + 1) // 2,
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


def bound_is_above(ground: Ground, Ks: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The bound is above −E log p(x) for every variant, trajectory and K, with the variant's own
    variance in the last step.
    """
    variants = [*SCALARS, "analytic_diagonal", "mle_diagonal"]
    kinds = [name for name in trajectory.FIXED if name != "even_ddim"]
    cells = [
        bound.Cell(kind, name, K, tuple(trajectory.fixed(kind, ground.schedule.N, K)))
        for kind in kinds
        for name in variants
        for K in Ks
    ]
    truth = (
        -ground.law.law().log_prob(torch.from_numpy(ground.data.to_float(ground.data.test))).numpy()
    )
    models = {
        "perfect": (ground.perfect, ground.moments),
        "imperfect": (ground.imperfect, ground.imperfect_moments),
    }
    for label, (model, moments) in models.items():
        values = bound.evaluate(
            Denoiser(model, {}, moments, ground.data, ground.schedule),
            ground.ddpm,
            cells,
            len(ground.data.test),
            ground.names,
        )
        for cell, value in zip(cells, values, strict=True):
            gap, stderr = (value - truth).mean(), (value - truth).std(ddof=1) / len(truth) ** 0.5
            yield row(
                f"{label} mean: the bound of {cell.variant}, {cell.trajectory}, K = {cell.K} "
                "is above −E log p (nats)",
                "Ho 2020",
                truth.mean(),
                truth.mean() + gap,
                stderr,
                gap >= -SIGMAS * stderr,
            )


def one_gaussian(dim: int = 16, N: int = 50) -> Iterator[dict[str, Any]]:
    """With its exact full covariance the bound of one Gaussian misses −E log p by KL(q(x_N) ‖ N(0,
    I)) alone.
    """
    linear = schedule.make("linear", N)
    forward, law = process.make("ddpm", linear), law_of(1, dim)
    oracle = mixture.Oracle(law, linear)
    mean, matrix = law.moments()
    log_det = lambda m: torch.linalg.slogdet(m)[1].item()
    identity = torch.eye(dim, dtype=torch.float64)
    # Cov[x_0 | x_t] of a Gaussian is the same for every x_t.
    cov = {t: oracle.conditional(mean[None], t)[1][0] for t in range(1, N + 1)}
    a2, b2 = linear.alpha_bar[N], linear.noise_sq[N]
    total = 0.5 * (dim * (b2 - 1 - np.log(b2)) + a2 * (mean @ mean + torch.trace(matrix)).item())
    for s, t in itertools.pairwise(range(1, N + 1)):
        lam, gamma_sq = forward.lambda_sq(s, t), forward.gamma(s, t) ** 2
        reverse = lam * identity + gamma_sq * cov[t]
        trace = torch.trace(torch.linalg.solve(reverse, lam * identity + gamma_sq * cov[t])).item()
        total += 0.5 * (log_det(reverse) - dim * np.log(lam) + trace - dim)
    total += 0.5 * (dim * np.log(2 * np.pi * np.e) + log_det(cov[1]))
    entropy = 0.5 * (dim * np.log(2 * np.pi * np.e) + log_det(matrix))
    end = a2 * matrix + b2 * identity
    divergence = 0.5 * (torch.trace(end).item() + a2 * (mean @ mean).item() - dim - log_det(end))
    yield row(
        "one Gaussian, exact full covariance: bound less −E log p is KL(q(x_N) ‖ N(0, I)) (nats)",
        "Bao 2022b",
        divergence,
        total - entropy,
        0,
        abs(total - entropy - divergence) < 1e-9,
    )


def total(cost: Float64[np.ndarray, "steps steps"], steps: Iterable[int]) -> float:
    """The cost of a trajectory, from the data. cost: of edges s → t, N + 1 rows and columns."""
    return sum(cost[edge] for edge in itertools.pairwise([0, *steps]))


def trajectories(seed: int, largest: int = 12) -> Iterator[dict[str, Any]]:
    """The cost of the dynamic programme's path less that of the best of all paths, worst K, for
    each N from 2 to `largest`.
    """
    for N in range(2, largest + 1):
        cost = noise.generator(seed, "costs", N).normal(size=(N + 1, N + 1))
        differences = []
        for K, optimal in trajectory.optimal(cost, range(2, N + 1)).items():
            paths = ((*before, N) for before in itertools.combinations(range(1, N), K - 1))
            differences.append(total(cost, optimal) - min(total(cost, path) for path in paths))
        worst = max(differences, key=abs)
        yield row(
            f"dynamic programme less brute force over all paths, N = {N}, worst K",
            "Watson 2021",
            0,
            worst,
            0,
            len(differences) == N - 1 and abs(worst) < 1e-12,
        )


def optimal_is_least(ground: Ground) -> Iterator[dict[str, Any]]:
    """`optimal` costs no more than `even` on its own cost, for every K, where the cost comes from
    the moments.
    """
    N = ground.schedule.N
    for name in ("beta", "analytic_scalar"):
        cost = covariance.get(name).edge_costs(ground.ddpm, ground.moments)
        excess = [
            total(cost, optimal) - total(cost, trajectory.even(N, K))
            for K, optimal in trajectory.optimal(cost, range(2, N + 1)).items()
        ]
        yield row(
            f"{name}: cost of `optimal` less cost of `even`, worst of K = 2 … {N} (nats)",
            "Watson 2021; Bao 2022a",
            0,
            max(excess),
            0,
            max(excess) <= 1e-9,
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
            yield within(
                f"{name}, η = {eta:g}, {label}: mean of x_s (first coordinate)",
                "Su 2022a",
                exact_mean[0],
                x_s[:, 0].mean(),
                x_s[:, 0].std() / draws**0.5,
            )
            squares = (x_s - exact_mean).square().sum(1)
            stderr = squares.std() / draws**0.5
            met = abs(squares.mean() - exact.trace()) <= SIGMAS * stderr
            yield row(
                f"{name}, η = {eta:g}, {label}: tr Cov of x_s is "
                f"{'missed' if label == 'λ² alone' else 'met'}",
                "Su 2022a",
                exact.trace(),
                squares.mean(),
                stderr,
                met != (label == "λ² alone"),
            )
            if label == "exact covariance":
                centred = x_s - x_s.mean(0)
                products = centred[:, 0] * centred[:, 1]
                yield within(
                    f"{name}, η = {eta:g}, {label}: covariance of the two coordinates of x_s",
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
        full_matrices(ground, steps),
        ranges(ground),
        imperfect_mean(ground, steps),
        likelihood_is_best(ground),
        bound_is_above(ground, [2, 5, ground.schedule.N]),
        one_gaussian(),
        learned(seed),
        trajectories(seed),
        optimal_is_least(ground),
        reverse_step(seed),
        published_thresholds(),
    ]
    return list(itertools.chain.from_iterable(checks))
