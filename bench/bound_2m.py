"""The variational bound of the chain of second order, `ddpm_2m`.

Its reverse step from t to s depends on the step u before too: p(x_s | x_t, x_u) = N(γ D + (c/b_t)
x_t, σ²), with the D of `bench.process`. Given x_t and x_0 the step x_u says nothing of x_s. So a
middle term is that of `bench.bound` with D in place of x̂_0, in expectation over x_t and x_u
together:

    ½ Σ_i [ln(σ_i²/λ²) + λ²/σ_i² − 1 + γ² (Fᵀ(x_0 − D))_i²/σ_i²].

The first step, which has none before it, and the last term have x̂_0.

Given x_t, x_0 and x_u are independent. So E[x_0 | x_t, x_u] = E[x_0 | x_t]: no D is better on
average than a perfect x̂_0(x_t), and this bound is above that of `ddpm`. What D mends is the error
of a long step along the sampler's own path. The bound is a sum over steps that begin at exact x_t,
and does not see it.

All steps of an image are on one forward path, x_t = a_t (x_0 + Σ_{i ≤ t} √(b_i²/a_i² −
b_{i−1}²/a_{i−1}²) z_i). So one pass per (image, t) serves every cell, and no number depends on
which cells there are.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from jaxtyping import Float64
from tqdm import tqdm

from bench import covariance, noise, terms
from bench.bound import LN2, Cell, check_finite, image_batches, random_signs
from bench.denoiser import Denoiser
from bench.process import Process


def evaluate(
    denoiser: Denoiser,
    process: Process,
    cells: Sequence[Cell],
    images: tuple[int, int],
    names: tuple,
    batch: int = 512,
) -> Float64[np.ndarray, "cells images"]:
    """The bound of test images, in bits/dim, or nats for continuous data.

    process: of second order, with η = 1. The other arguments are those of
    `bench.bound.evaluate_part`. BenchError if a bound is not finite.
    """
    data, schedule, (first, last) = denoiser.data, process.schedule, images
    steps = _steps(cells)
    total = torch.zeros(len(cells), last - first, dtype=torch.float64, device=denoiser.device)
    passes = len(range(first, last, batch)) * len(steps)
    bar = tqdm(total=passes, desc=f"bound_2m {names[-1]}", unit="pass")
    with torch.inference_mode(), bar:
        for start, place, x_0 in image_batches(denoiser, images, batch):
            of_batch = total[:, place]
            for column, cell in enumerate(cells):
                of_batch[column] = terms.prior_term(schedule, cell.steps[-1], x_0)
            path, predictions = x_0.clone(), {}
            for u in range(1, schedule.N + 1):
                spread = np.sqrt(1 / schedule.alpha_bar[u] - 1 / schedule.alpha_bar[u - 1])
                z = noise.normal((*names, "path", u), start, len(x_0), data.dim)
                path += spread * torch.from_numpy(z).to(path.device)
                if u not in steps:
                    continue
                x_u = schedule.signal[u] * path
                predictions[u] = denoiser.predict(x_u, u, steps[u].variants)
                for (s, t, variant), columns in steps[u].jumps.items():
                    probe = partial(random_signs, (*names, "probe", t), start, x_0)
                    term = _term(process, predictions, s, t, u, variant, x_0, probe)
                    of_batch[columns] += term
                for t in list(predictions):
                    if steps[t].kept_until <= u:
                        del predictions[t]
                bar.update()
    unit = 1.0 if data.levels is None else data.dim * LN2
    bounds = (total / unit).cpu().numpy()
    check_finite(cells, bounds)
    return bounds


@dataclass
class Step:
    """What happens at a step of the path.

    variants: of the cells that visit it. jumps: {(s, t, variant): columns} of the jumps from t to s
    that this step comes before; for the first jump of a cell, and for its last term, whose s is 0,
    it is t itself. kept_until: the last step at which the pass of this one is needed.
    """

    variants: set[str]
    jumps: dict[tuple[int, int, str], list[int]]
    kept_until: int


def _steps(cells):
    """{step: Step} of every step that a cell visits."""
    steps = {}
    for column, cell in enumerate(cells):
        for t in cell.steps:
            steps.setdefault(t, Step(set(), {}, t)).variants.add(cell.variant)
        before = dict(itertools.pairwise(cell.steps))  # {t: u}
        for s, t in itertools.pairwise([0, *cell.steps]):
            u = before.get(t, t) if s > 0 else t
            steps[u].jumps.setdefault((s, t, cell.variant), []).append(column)
            steps[t].kept_until = max(steps[t].kept_until, u)
    return steps


def _term(process, predictions, s, t, u, variant, x_0, probe):
    """The term of a jump of each image, in nats, (batch,)."""
    prediction = predictions[t]
    data, x0_hat, schedule = prediction.data, prediction.x0_hat, process.schedule
    if s == 0 and data.levels is not None:
        return terms.last_term(data, x_0, x0_hat, terms.last_sigma(schedule, t))
    if u > t:
        x0_hat = process.extrapolate(s, t, u, x0_hat, predictions[u].x0_hat)
        x0_hat = x0_hat.clamp(data.lo, data.hi)
    error = x_0 - x0_hat
    seen = prediction.seen(variant, error=error, probe=probe)
    sigma_sq = covariance.get(variant).reverse_variance(process, s, seen)
    sigma_sq = torch.as_tensor(sigma_sq, device=error.device)
    error_sq = seen.frame.energies(error)
    if s == 0:
        return terms.last_term_continuous(schedule, sigma_sq, error_sq, seen.frame.sizes)
    return terms.middle_term(process, s, t, sigma_sq, error_sq, seen.frame.sizes)
