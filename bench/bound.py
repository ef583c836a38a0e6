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

Beside the bound the pass tells where it is lost, and which variance is wrong at which step: the
mean of every term, and the calibration of every variant,

    E[(Fᵀ(x_0 − x̂_0))_i² / Σ_0,i],

over images and directions i. It is 1 where Σ_0 is the covariance of x_0 around x̂_0, and infinite
where an estimate is 0. So there is E‖x_0 − x̂_0‖² / E tr Σ_0 beside it.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

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
from bench.runtime.errors import BenchError

LN2 = float(np.log(2))
Mean = tuple[float, float]  # over images, and its standard error
CALIBRATION = ("calibration", "errors", "estimates")  # names of what `_calibration` gives


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


@dataclass(frozen=True)
class Bounds:
    """What `evaluate` gives, in bits/dim or nats; row i belongs to cells[i].

    total: the bound. prior, data: its first and its last part; the rest is that of the steps.
    terms: {(variant, s, t): mean}, of which s = 0 is the last part. calibration: {(variant, t):
    mean}, of the variants that estimate a covariance, and in_total: {(variant, t): ratio} of the
    means, both without unit.
    """

    total: Float64[np.ndarray, "cells images"]
    prior: Float64[np.ndarray, "cells images"]
    data: Float64[np.ndarray, "cells images"]
    terms: dict[tuple[str, int, int], Mean]
    calibration: dict[tuple[str, int], Mean]
    in_total: dict[tuple[str, int], float]


@dataclass(frozen=True)
class Part:
    """The bound of some of the images, in nats, from which `combine` makes that of all.

    parts: total, prior and data of `Bounds`. keys: {name of a mean of `Bounds`: its keys}. sums:
    {name: the sums over each batch of images of the values of each key, and of their squares}.
    """

    parts: Float64[np.ndarray, "3 cells images"]
    keys: dict[str, list[tuple]]
    sums: dict[str, Float64[np.ndarray, "batches keys 2"]]

    def arrays(self) -> dict[str, np.ndarray]:
        """The part as {name: array}, to be kept."""
        kept = {"parts": self.parts, **self.sums}
        for name, keys in self.keys.items():
            kept[f"{name}_keys"] = np.array(keys, dtype=np.str_)
        return kept

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> "Part":
        """The part of which `arrays` were made."""
        sums = {name: np.asarray(arrays[name]) for name in ("terms", *CALIBRATION)}
        keys = {}
        for name in sums:
            rows = arrays[f"{name}_keys"].tolist()
            keys[name] = [(variant, *map(int, steps)) for variant, *steps in rows]
        return cls(np.asarray(arrays["parts"]), keys, sums)


def evaluate(
    denoiser: Denoiser,
    process: Process,
    cells: Sequence[Cell],
    images: int,
    names: tuple,
    batch: int = 512,
) -> Bounds:
    """The bound of the first `images` test images and its parts.

    denoiser: with the heads and moments that the variants of `cells` read. process: one that has a
    bound. names: (seed, setting), the root of the noise. batch: images in a network pass.
    BenchError if a bound is not finite.
    """
    part = evaluate_part(denoiser, process, cells, (0, images), names, batch)
    return combine(cells, denoiser.data, [part])


def evaluate_part(
    denoiser: Denoiser,
    process: Process,
    cells: Sequence[Cell],
    images: tuple[int, int],
    names: tuple,
    batch: int = 512,
) -> Part:
    """The bound of the test images from the first to one before the last of `images`.

    The other arguments are those of `evaluate`.
    """
    data, edges, (first, last) = denoiser.data, _edges_by_step(cells), images
    parts = torch.zeros(3, len(cells), last - first, dtype=torch.float64, device=denoiser.device)
    of_batches = []
    passes = len(range(first, last, batch)) * len(edges)
    bar = tqdm(total=passes, desc=f"bound {names[-1]}", unit="pass", mininterval=1.0)
    with torch.inference_mode(), bar:
        for start, place, x_0 in image_batches(denoiser, images, batch):
            total, prior, data_part = parts[:, :, place]
            sums = {name: {} for name in ("terms", *CALIBRATION)}
            for column, cell in enumerate(cells):
                prior[column] = terms.prior_term(process.schedule, cell.steps[-1], x_0)
            total += prior
            for t in sorted(edges):
                eps = noise.normal((*names, "bound", t), start, len(x_0), data.dim)
                eps = torch.from_numpy(eps).to(denoiser.device)
                x_t = process.schedule.signal[t] * x_0 + process.schedule.noise[t] * eps
                prediction = denoiser.predict(x_t, t, edges[t])
                probe = partial(random_signs, (*names, "probe", t), start, x_0)
                of_step = _of_step(edges[t], x_0, prediction, process, data, probe)
                for variant, of_jumps, calibrated in of_step:
                    for s, term in of_jumps.items():
                        columns = edges[t][variant][s]
                        total[columns] += term
                        if s == 0:
                            data_part[columns] = term
                        sums["terms"][variant, s, t] = _sum(term)
                    if calibrated is not None:
                        for name, values in zip(CALIBRATION, calibrated, strict=True):
                            sums[name][variant, t] = _sum(values)
                bar.update()
            of_batches.append({name: _on_cpu(of_keys) for name, of_keys in sums.items()})
    keys = {name: list(of_keys) for name, of_keys in sums.items()}
    stacked = {name: np.stack([batch[name] for batch in of_batches]) for name in keys}
    return Part(parts.cpu().numpy(), keys, stacked)


def image_batches(
    denoiser: Denoiser, images: tuple[int, int], batch: int
) -> Iterator[tuple[int, slice, Float64[Tensor, "batch dim"]]]:
    """(index of the first one, place among `images`, x_0 on its device) of batches of the test
    images from the first to one before the last of `images`.
    """
    data, (first, last) = denoiser.data, images
    for start in range(first, last, batch):
        x_0 = torch.from_numpy(data.to_float(data.test[start : min(start + batch, last)]))
        place = slice(start - first, start - first + len(x_0))
        yield start, place, x_0.to(denoiser.device)


def combine(cells: Sequence[Cell], data: Data, parts: Sequence[Part]) -> Bounds:
    """The bounds of all images from those of parts of them, in order.

    cells, data: as of `evaluate_part`. The sums of batches are added one by one, so that the parts
    that the batches are in change no bit. BenchError if a bound is not finite.
    """
    unit = 1.0 if data.levels is None else data.dim * LN2
    total, prior, data_part = np.concatenate([part.parts for part in parts], axis=2) / unit
    check_finite(cells, total)
    images = total.shape[1]
    means = {}
    for name, keys in parts[0].keys.items():
        sums = np.concatenate([part.sums[name] for part in parts])
        means[name] = dict(zip(keys, _means(sums, images), strict=True))
    in_total = {}
    for key, (error, _) in means["errors"].items():
        estimate, _ = means["estimates"][key]
        in_total[key] = error / estimate if estimate > 0 else np.inf
    of_terms = {key: (mean / unit, stderr / unit) for key, (mean, stderr) in means["terms"].items()}
    return Bounds(total, prior, data_part, of_terms, means["calibration"], in_total)


def _sum(values):
    """The sum of values of images, and that of their squares, on their device."""
    return torch.stack([values.sum(), (values**2).sum()])


def _on_cpu(sums):
    """(keys, 2) of the sums of each key of a batch."""
    return torch.stack(list(sums.values())).cpu().numpy() if sums else np.empty((0, 2))


def _means(sums, images):
    """[`Mean`, …] of each key from the sums of batches. Of one image the error is NaN."""
    mean, square = sum(sums[1:], start=sums[0]).T / images
    with np.errstate(divide="ignore", invalid="ignore"):
        stderr = np.sqrt(np.maximum(square - mean**2, 0) / np.float64(images - 1))
    return list(zip(mean.tolist(), stderr.tolist(), strict=True))


def check_finite(cells: Sequence[Cell], totals: Float64[np.ndarray, "cells images"]) -> None:
    """BenchError for the first cell of whose images some have a bound that is not finite."""
    wrong = (~np.isfinite(totals)).sum(axis=1)
    for cell, count in zip(cells, wrong, strict=True):
        if count:
            raise BenchError(
                f"bound of {cell.variant}, {cell.trajectory}, K = {cell.K}: found NaN or infinity "
                f"for {count} of {totals.shape[1]} images, expected finite numbers; look for the "
                f"cause with: bench check variant {covariance.reference(cell.variant)}"
            )


def random_signs(names: tuple, start: int, x_0: Tensor) -> Tensor:
    """Random signs for each coordinate of the images x_0, of which `start` is the first."""
    numbers = noise.normal(names, start, *x_0.shape)
    return torch.from_numpy(np.where(numbers < 0, -1.0, 1.0)).to(x_0.device)


def _edges_by_step(cells: Sequence[Cell]) -> dict[int, dict[str, dict[int, list[int]]]]:
    """{t: {variant: {s: [columns]}}} of every edge s → t. s = 0 is the last term, to the data."""
    edges = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for column, cell in enumerate(cells):
        for s, t in [(0, cell.steps[0]), *cell.edges]:
            edges[t][cell.variant][s].append(column)
    return edges


def _of_step(
    variants: dict[str, dict[int, list[int]]],
    x_0: Tensor,
    prediction: Prediction,
    process: Process,
    data: Data,
    probe: Callable[[], Tensor],
) -> Iterator[tuple[str, dict[int, Tensor], tuple[Tensor, Tensor, Tensor] | None]]:
    """(variant, {s: term}, calibration) at the step t of `prediction`; of each image, (batch,).

    The terms are those of the variant's edges s → t. The calibration is None for a variant that
    estimates no covariance, and where there is the last term of data with levels alone: what
    `Prediction.seen` gives may cost products with the Jacobian. probe: see `covariance.Seen`.
    """
    error, last = x_0 - prediction.x0_hat, None
    if data.levels is not None and any(0 in jumps for jumps in variants.values()):
        sigma = terms.last_sigma(process.schedule, prediction.t)
        last = terms.last_term(data, x_0, prediction.x0_hat, sigma)  # the same for all variants
    in_pixels = error**2
    total_error = in_pixels.sum(1)
    for name, jumps in variants.items():
        found = {0: last} if last is not None and 0 in jumps else {}
        left = [s for s in jumps if s not in found]
        if not left:
            yield name, found, None
            continue
        variant, seen = covariance.get(name), prediction.seen(name, error=error, probe=probe)
        frame = seen.frame
        error_sq = in_pixels if frame is PIXEL else frame.energies(error)
        if 0 in left:
            sigma_sq = variant.reverse_variance(process, 0, seen)
            sigma_sq = torch.as_tensor(sigma_sq, device=error.device)
            found[0] = terms.last_term_continuous(process.schedule, sigma_sq, error_sq, frame.sizes)
        middle = [s for s in left if s > 0]
        if variant.conditional:
            for s in middle:
                sigma_sq = variant.reverse_variance(process, s, seen)
                found[s] = terms.middle_term(process, s, seen.t, sigma_sq, error_sq, frame.sizes)
        elif middle:
            values = _middle_terms(process, variant, middle, seen, error_sq, total_error)
            found |= dict(zip(middle, values, strict=True))
        estimates = variant.assumes != "nothing"
        yield name, found, _calibration(variant, seen, error_sq) if estimates else None


def _calibration(variant: Variant, seen: Seen, error_sq: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each image, (batch,): the mean over directions of (Fᵀ(x_0 − x̂_0))_i²/Σ_0,i, infinite where
    Σ_0 is 0; ‖x_0 − x̂_0‖²; and tr Σ_0.
    """
    estimate = torch.as_tensor(variant.estimate(seen), device=error_sq.device)
    sizes = torch.as_tensor(seen.frame.sizes, device=error_sq.device)
    ratio = torch.where(error_sq > 0, error_sq / estimate, 0.0).sum(1) / seen.eps_hat.shape[1]
    return ratio, error_sq.sum(1), (sizes * estimate).expand_as(error_sq).sum(1)


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
