"""The variational bound on −log p(x), of every (variant, trajectory, K) from one network pass per
(image, t).

    L = KL(q(x_τK | x_0) ‖ N(0, I)) + Σ_k E KL(q(x_s | x_t, x_0) ‖ p(x_s | x_t))
        − E log p(x_0 | x_τ1)

for the DDPM process, where for a reverse variance σ² that is diagonal in the frame F (pixels, F =
I, or another of `bench.frames`) each middle term is

    ½ Σ_i [ln(σ_i²/λ²) + λ²/σ_i² − 1 + γ² (Fᵀ(x_0 − x̂_0))_i²/σ_i²],   x̂_0 clipped to the data range.

x_t, ε̂, the heads and (x_0 − x̂_0)² depend on t only, not on s, K, the trajectory or the variant.
So the loop runs over t, makes the one pass, and adds every edge s → t that any cell needs to that
cell's sum. Where σ² is the same for all images, the term is linear in (x_0 − x̂_0)², and its
coefficients are computed once for all images. Images, noise and steps are shared by all cells
(common random numbers), which is what makes paired differences sharp.

Nothing that is summed depends on which other cells there are. That is why there is no matrix
product over edges: its last bits depend on the number and order of its rows.

The last term is a discretised Gaussian of mean x̂_0 and, for every variant, the variance β̃_{1|2}
of the full chain (Bao et al. 2022a, Appendix F), or b_τ1² on a trajectory with τ_1 > 1, which their
search for β may choose; bins of half-width (hi − lo)/2/(levels − 1), the two edge bins open. For
continuous data it is the density of a Gaussian with the variant's own σ²_{0|τ1}, or β̃_{1|2} where
that is zero. The unit is bits per dimension, L/(d ln 2), for data with levels, and nats, L, for
continuous data.
"""

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from tqdm import tqdm

from bench import covariance, noise, terms
from bench.covariance import Seen, Variant
from bench.data.dataset import Data
from bench.denoiser import Denoiser, Prediction
from bench.frames import PIXEL
from bench.process import Process

LN2 = float(np.log(2))


@dataclass(frozen=True)
class Cell:
    """One column of the result: a variant on a trajectory with K steps."""

    trajectory: str
    variant: str
    K: int
    steps: tuple[int, ...]  # τ_1 < … < τ_K

    @property
    def edges(self) -> list[tuple[int, int]]:
        """The jumps (s, t) between neighbouring steps."""
        return list(itertools.pairwise(self.steps))


def evaluate(
    denoiser: Denoiser,
    process: Process,
    cells: Sequence[Cell],
    images: int,
    names: tuple,
    batch: int = 512,
) -> Float64[np.ndarray, "cells images"]:
    """The bound of the first `images` test images, in bits/dim or nats (see above); row i belongs
    to cells[i].

    denoiser: with the heads and moments that the variants of `cells` read. process: one that has a
    bound. names: (seed, setting), the root of the noise. batch: images in a network pass.
    """
    data, edges = denoiser.data, _edges_by_step(cells)
    result = torch.zeros(len(cells), images, dtype=torch.float64, device=denoiser.device)
    starts = range(0, images, batch)
    bar = tqdm(
        total=len(starts) * len(edges), desc=f"bound {names[-1]}", unit="pass", mininterval=1.0
    )
    with torch.inference_mode(), bar:
        for start in starts:
            x_0 = torch.from_numpy(data.to_float(data.test[start : min(start + batch, images)]))
            x_0 = x_0.to(denoiser.device)
            part = result[:, start : start + len(x_0)]
            for column, cell in enumerate(cells):
                part[column] += terms.prior_term(process.schedule, cell.steps[-1], x_0)
            for t in sorted(edges):
                eps = noise.normal((*names, "bound", t), start, len(x_0), data.dim)
                eps = torch.from_numpy(eps).to(denoiser.device)
                x_t = process.schedule.signal[t] * x_0 + process.schedule.noise[t] * eps
                prediction = denoiser.predict(x_t, t, edges[t])
                _add_step(part, edges[t], x_0, prediction, process, data)
                bar.update()
    unit = 1.0 if data.levels is None else data.dim * LN2
    return (result / unit).cpu().numpy()


def _edges_by_step(cells: Sequence[Cell]) -> dict[int, dict[str, dict[int, list[int]]]]:
    """{t: {variant: {s: [columns]}}} of every edge s → t. s = 0 is the last term, to the data."""
    edges = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for column, cell in enumerate(cells):
        for s, t in [(0, cell.steps[0]), *cell.edges]:
            edges[t][cell.variant][s].append(column)
    return edges


def _add_step(
    part: Tensor,
    variants: dict[str, dict[int, list[int]]],
    x_0: Tensor,
    prediction: Prediction,
    process: Process,
    data: Data,
) -> None:
    """Adds to every cell, a row of `part`, its edges that end at the step of `prediction`."""
    error, last = x_0 - prediction.x0_hat, None
    if data.levels is not None and any(0 in jumps for jumps in variants.values()):
        sigma = terms.last_sigma(process.schedule, prediction.t)
        last = terms.last_term(data, x_0, prediction.x0_hat, sigma)  # the same for all variants
    in_pixels = error**2
    total_error = in_pixels.sum(1)
    for name, jumps in variants.items():
        if last is not None and 0 in jumps:
            part[jumps[0]] += last
            jumps = {s: columns for s, columns in jumps.items() if s > 0}
            if not jumps:
                continue  # what `seen` gives may cost products with the Jacobian
        variant, seen = covariance.get(name), prediction.seen(name)
        frame = seen.frame
        error_sq = in_pixels if frame is PIXEL else frame.energies(error)
        if 0 in jumps:
            sigma_sq = variant.reverse_variance(process, 0, seen)
            sigma_sq = torch.as_tensor(sigma_sq, device=part.device)
            part[jumps[0]] += terms.last_term_continuous(
                process.schedule, sigma_sq, error_sq, frame.sizes
            )
        middle = [s for s in jumps if s > 0]
        if variant.conditional:
            for s in middle:
                sigma_sq = variant.reverse_variance(process, s, seen)
                part[jumps[s]] += terms.middle_term(
                    process, s, seen.t, sigma_sq, error_sq, frame.sizes
                )
        elif middle:
            values = _middle_terms(process, variant, middle, seen, error_sq, total_error)
            for s, value in zip(middle, values, strict=True):
                part[jumps[s]] += value


def _middle_terms(
    process: Process,
    variant: Variant,
    steps: list[int],
    seen: Seen,
    error_sq: Tensor,
    total_error: Tensor,
) -> list[Tensor]:
    """The middle terms of edges s → t for s in `steps`, (batch,) each, where σ² is the same for all
    images.

    error_sq: the energies of x_0 − x̂_0 in the variant's frame, (batch, groups). total_error: their
    sum, (batch,).
    """
    s, t = np.array(steps)[:, None], seen.t
    sigma_sq = variant.reverse_variance(process, s, seen)
    constants, slopes = terms.coefficients(
        process.lambda_sq(s, t), process.gamma(s, t) ** 2, sigma_sq, np.log
    )
    if sigma_sq.shape[1] == 1:
        constants = error_sq.shape[1] * constants
        return [
            float(constant) + float(slope) * total_error
            for constant, slope in zip(constants[:, 0], slopes[:, 0], strict=True)
        ]
    constants = (seen.frame.sizes * constants).sum(axis=1)
    slopes = torch.from_numpy(slopes).to(error_sq.device)
    return [
        float(constant) + (slope * error_sq).sum(1)
        for constant, slope in zip(constants, slopes, strict=True)
    ]
