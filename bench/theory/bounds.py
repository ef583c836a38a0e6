"""Claims about bounds and trajectories."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch.distributions import MultivariateNormal

from bench import bound, covariance, mixture, noise, process, schedule, terms, trajectory
from bench.covariance import Seen
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

    The frame and the variance are those of `mle_full`. The terms of the bound are linear in the
    squares of errors, so they get expected squares in place of draws.
    """
    linear = schedule.make("linear", N)
    forward, law = process.make("ddpm", linear), law_of(1, dim)
    mean, matrix = law.moments()
    rms = (mean**2 + torch.diag(matrix)).sqrt()[None]
    expected = terms.prior_term(linear, N, rms).item()
    sigma_sq, energies, sizes = _full_step(law, linear, forward, 0, 1)
    expected += terms.last_term_continuous(linear, sigma_sq, energies, sizes).item()
    for s, t in itertools.pairwise(range(1, N + 1)):
        sigma_sq, energies, sizes = _full_step(law, linear, forward, s, t)
        expected += terms.middle_term(forward, s, t, sigma_sq, energies, sizes).item()
    entropy = MultivariateNormal(mean, matrix).entropy().item()
    identity = torch.eye(dim, dtype=torch.float64)
    end = linear.alpha_bar[N] * matrix + linear.noise_sq[N] * identity
    divergence = torch.distributions.kl_divergence(
        MultivariateNormal(linear.signal[N] * mean, end), MultivariateNormal(0 * mean, identity)
    ).item()
    yield row(
        "one Gaussian, mle_full exact: bound less −E log p is KL(q(x_N) ‖ N(0, I)) (nats)",
        "Bao 2022b",
        divergence,
        expected - entropy,
        0,
        abs(expected - entropy - divergence) < 1e-9,
    )


def _full_step(law, linear, forward, s, t):
    """(σ², expected energies of x_0 − x̂_0, sizes) of `mle_full` in a step, with exact moments.

    Cov[x_0 | x_t] of a Gaussian is the same for every x_t.
    """
    variant, scale = covariance.get("mle_full"), linear.alpha_bar[t] / linear.noise_sq[t]
    mean, _ = law.moments()
    exact = mixture.Oracle(law, linear).conditional(mean[None], t)[1][0]
    seen = Seen(t, linear, moments={"error_matrix": (scale * exact).numpy()}).framed(variant)
    # The columns of a root of Cov have its outer products as their sum.
    energies = seen.frame.energies(torch.linalg.cholesky(exact).mT).sum(0, keepdim=True)
    sigma_sq = torch.as_tensor(variant.reverse_variance(forward, s, seen))
    return sigma_sq, energies, seen.frame.sizes


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
