"""Claims about bounds and trajectories."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from bench import bound, covariance, mixture, noise, process, schedule, trajectory
from bench.data.readers.mixture import law_of
from bench.denoiser import Denoiser
from bench.theory.ground import SCALARS, SIGMAS, Ground, row


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
        ).total
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
        excess = []
        for K, optimal in trajectory.optimal(cost, range(2, N + 1)).items():
            even = total(cost, trajectory.even(N, K))
            if np.isfinite(even):  # of few draws the estimate of an edge may have no cost
                excess.append(total(cost, optimal) - even)
        yield row(
            f"{name}: cost of `optimal` less cost of `even`, worst of K = 2 … {N} (nats)",
            "Watson 2021; Bao 2022a",
            0,
            max(excess),
            0,
            max(excess) <= 1e-9,
        )
