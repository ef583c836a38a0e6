"""The variational bound on −log p(x), of every (variant, trajectory, K) from one network pass per (image, t).

    L = KL(q(x_τK | x_0) ‖ N(0, I)) + Σ_k E KL(q(x_s | x_t, x_0) ‖ p(x_s | x_t)) − E log p(x_0 | x_τ1)

for the DDPM process, where for a diagonal reverse variance σ² each middle term is

    ½ Σ_i [ln(σ_i²/λ²) + λ²/σ_i² − 1 + γ² (x_0 − x̂_0)_i²/σ_i²],          x̂_0 clipped to the data range.

x_t, ε̂, the heads and (x_0 − x̂_0)² depend on t only, not on s, K, the trajectory or the variant. So the loop
runs over t, makes the one pass, and adds every edge s → t that any cell needs to that cell's sum. Where no image decides
σ², the term is linear in (x_0 − x̂_0)², and the edges of all such variants are one matrix product. Images,
noise and steps are shared by all cells (common random numbers), which is what makes paired differences sharp.

The last term is a discretised Gaussian of mean x̂_0 and, for every variant, the variance β̃_{1|2} of the full
chain (Bao et al. 2022a, Appendix F); bins of half-width (hi − lo)/2/(levels − 1), the two edge bins open. For
continuous data it is the density of a Gaussian with the variant's own σ²_{0|τ1}, or β̃_{1|2} where that is zero.
Data with levels are told in bits per dimension, L/(d ln 2), continuous data in nats, L.
"""

import itertools
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from bench import covariance, noise, terms

LN2 = float(np.log(2))


@dataclass(frozen=True)
class Cell:
    """One column of the result: a variant on a trajectory with K steps."""

    trajectory: str
    variant: str
    K: int
    steps: tuple  # τ_1 < … < τ_K

    @property
    def edges(self):
        """The jumps (s, t) between neighbouring steps."""
        return list(itertools.pairwise(self.steps))


def evaluate(denoiser, process, cells, images, names, batch=512):
    """The bound of the first `images` test images, float64 of shape (len(cells), images): bits/dim, or nats (see above).

    denoiser: `bench.denoiser.Denoiser` with the heads and moments that the variants of `cells` need; process: DDPM;
    names: (seed, setting), the root of the noise; batch: images a network pass.
    """
    data, edges = denoiser.data, _edges_by_step(cells)
    result = torch.zeros(len(cells), images, dtype=torch.float64, device=denoiser.device)
    starts = range(0, images, batch)
    with (
        torch.inference_mode(),
        tqdm(
            total=len(starts) * len(edges), desc=f"bound {names[-1]}", unit="pass", mininterval=1.0
        ) as bar,
    ):
        for start in starts:
            x_0 = torch.from_numpy(data.to_float(data.test[start : min(start + batch, images)])).to(
                denoiser.device
            )
            part = result[:, start : start + len(x_0)]
            for column, cell in enumerate(cells):
                part[column] += terms.prior_term(process.schedule, cell.steps[-1], x_0)
            for t in sorted(edges):
                eps = torch.from_numpy(
                    noise.normal((*names, "bound", t), start, len(x_0), data.dim)
                ).to(denoiser.device)
                prediction = denoiser.predict(
                    process.schedule.signal[t] * x_0 + process.schedule.noise[t] * eps, t
                )
                _add_step(part, edges[t], x_0, prediction, process, data)
                bar.update()
    return (result / (1.0 if data.levels is None else data.dim * LN2)).cpu().numpy()


def _edges_by_step(cells):
    """{t: {variant: {s: [columns]}}} of every edge s → t; s = 0 marks the last term, to the data."""
    edges = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for column, cell in enumerate(cells):
        for s, t in [(0, cell.steps[0]), *cell.edges]:
            edges[t][cell.variant][s].append(column)
    return edges


def _add_step(part, variants, x_0, prediction, process, data):
    """Adds to every cell, in nats, its edges that end at the step of `prediction`."""
    t, error_sq, last = prediction.t, (x_0 - prediction.x0_hat) ** 2, None
    if data.levels is not None and any(0 in jumps for jumps in variants.values()):
        last = terms.last_term(
            data, x_0, prediction.x0_hat, terms.last_sigma(process.schedule)
        )  # the same for all variants
    lines = []
    for name, jumps in variants.items():
        variant, data_variance = covariance.get(name), prediction.data_variance(name)
        if 0 in jumps:
            part[jumps[0]] += (
                last
                if last is not None
                else terms.last_term_continuous(
                    process.schedule,
                    torch.as_tensor(
                        variant.variance(process, 0, t, data_variance), device=part.device
                    ),
                    error_sq,
                )
            )
        middle = [s for s in jumps if s > 0]
        if isinstance(data_variance, np.ndarray) and middle:
            steps = np.array(middle)[:, None]
            sigma_sq = variant.variance(process, steps, t, data_variance)
            lines.append(
                (*_line(process, steps, t, sigma_sq, data.dim), [jumps[s] for s in middle])
            )
        else:
            for s in middle:
                part[jumps[s]] += terms.middle_term(
                    process, s, t, variant.variance(process, s, t, data_variance), error_sq
                )
    if lines:
        _add_lines(part, error_sq, *zip(*lines, strict=True))


def _line(process, s, t, sigma_sq, dim):
    """The middle term of variances that no image decides, as constant (edges,) + slope (edges, dim) · (x_0 − x̂_0)².

    s: (edges, 1); sigma_sq: (edges, 1 or dim).
    """
    parts = terms.coefficients(process.lambda_sq(s, t), process.gamma(s, t) ** 2, sigma_sq, np.log)
    shape, slope = (np.broadcast_to(part, (len(s), dim)) for part in parts)
    return shape.sum(axis=1), slope


def _add_lines(part, error_sq, constants, slopes, columns):
    """Adds lines (see `_line`) to the cells in `columns`: of all variants at once, as one matrix product."""
    constants, slopes = (
        torch.from_numpy(np.concatenate(parts)).to(part.device) for parts in (constants, slopes)
    )
    of_edge = list(itertools.chain(*columns))
    edges = torch.tensor(
        [edge for edge, cells in enumerate(of_edge) for _ in cells], device=part.device
    )
    cells = torch.tensor(list(itertools.chain(*of_edge)), device=part.device)
    part.index_add_(0, cells, (constants[:, None] + slopes @ error_sq.T)[edges])
