"""Sampling: ancestral steps along a trajectory with any variant's reverse variance.

x_τK ~ N(0, I). Every step adds noise of the variant's variance to the process's mean. The last
step, to x_0, returns the mean. On the step that lands on τ_1 the variance is clipped to (y · (hi −
lo)/255 · √(π/2))². Then the noise moves a pixel by at most y 255ths of the range on average (Bao et
al. 2022a, Appendix F.2). λ² alone, the variance of `beta_tilde` and `zero`, is not clipped, as in
the authors' code.

A process of second order takes for its mean the D that it extrapolates from the step before
(`bench.process`). On the first step, which has none before it, and on the last D is x̂_0.

Start and step noise are functions of (image, t). So variants, processes and K share them.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

from bench import covariance, noise
from bench.data.dataset import Data
from bench.denoiser import Denoiser, Prediction
from bench.process import Process
from bench.runtime.errors import BenchError
from bench.thresholds import clip_threshold


class NotFinite(BenchError):
    """Samples have a NaN or an infinity."""


def sample(
    denoiser: Denoiser,
    process: Process,
    variant: str,
    steps: Sequence[int],
    first: int,
    count: int,
    clip_levels: float | None,
    names: tuple,
    batch: int = 256,
    progress: Callable[[int], object] | None = None,
) -> (
    UInt8[np.ndarray, "count channels height width"]
    | Float64[np.ndarray, "count channels height width"]
):
    """Images first .. first + count − 1: levels if the data have levels, else floats.

    denoiser: with the heads and moments that `variant` reads. steps: τ_1 < … < τ_K. clip_levels: y
    above, None for no clip. names: (seed, setting), the root of the noise. batch: images in a
    network pass. progress: called with the number of images after every pass. NotFinite if an image
    has a number that is not finite.
    """
    data = denoiser.data

    def draw(start, size):
        def normal(purpose):
            eps = noise.normal((*names, "samples", purpose), start, size, data.dim)
            return torch.from_numpy(eps).to(denoiser.device)

        x = normal("start")
        return descend(denoiser, process, variant, steps, x, normal, clip_levels, progress)

    return in_batches(data, draw, first, count, batch)


def descend(
    denoiser: Denoiser,
    process: Process,
    variant: str,
    steps: Sequence[int],
    x: Float64[Tensor, "batch dim"],
    normal: Callable[[int], Float64[Tensor, "batch dim"]],
    clip_levels: float | None,
    progress: Callable[[int], object] | None = None,
) -> Float64[Tensor, "batch dim"]:
    """x_0, not rounded to levels, from x = x_τK.

    normal: gives the standard normal noise of the step from t. The others are those of `sample`.
    """
    radius = denoiser.data.radius
    at_last = np.inf if clip_levels is None else clip_threshold(clip_levels, radius)
    before = None  # (u, x̂_0 at x_u) of the step before, x_u → x_t
    for s, t in reversed(list(itertools.pairwise([0, *steps]))):
        limit = at_last if s == steps[0] else np.inf
        prediction = denoiser.predict(x, t, [variant] if s > 0 else [])
        eps = normal(t) if s > 0 else None
        x = step(prediction, x, s, process, variant, limit, eps, before)
        before = t, prediction.x0_hat
        if progress:
            progress(len(x))
    return x


def in_batches(
    data: Data,
    draw: Callable[[int, int], Float64[Tensor, "batch dim"]],
    first: int,
    count: int,
    batch: int,
) -> (
    UInt8[np.ndarray, "count channels height width"]
    | Float64[np.ndarray, "count channels height width"]
):
    """Images first .. first + count − 1 as levels if the data have levels, else as floats.

    draw: gives points of the data's range from the number of the first image and the number of
    images, at most `batch`. NotFinite if an image has a number that is not finite.
    """
    parts = []
    with torch.inference_mode():
        for start in range(first, first + count, batch):
            size = min(batch, first + count - start)
            points = draw(start, size).cpu().numpy()
            wrong = np.count_nonzero(~np.isfinite(points).all(axis=1))
            if wrong:
                raise NotFinite(
                    f"found NaN or infinity in {wrong} of {size} images, expected finite numbers"
                )
            parts.append(data.to_levels(points))
    return np.concatenate(parts)


def step(
    prediction: Prediction,
    x_t: Float64[Tensor, "batch dim"],
    s: int,
    process: Process,
    variant: str,
    limit: float,
    eps: Float64[Tensor, "batch dim"] | None,
    before: tuple[int, Float64[Tensor, "batch dim"]] | None = None,
) -> Float64[Tensor, "batch dim"]:
    """x_s from x_t: the process's mean, plus the root of the variant's covariance times `eps`.

    s: from 0 to t − 1; if it is 0, the result is x̂_0. limit: the largest number of the spectrum;
    then no pixel's variance is larger. eps: standard normal noise; None if s is 0. before: the step
    u > t before this one, and x̂_0 at x_u, for a process of second order.
    """
    if s == 0:
        return prediction.x0_hat
    seen = prediction.seen(variant, eps)
    sigma_sq = covariance.get(variant).reverse_variance(process, s, seen)
    sigma_sq = torch.as_tensor(sigma_sq, device=x_t.device)
    x0_hat, data = prediction.x0_hat, prediction.data
    if process.order == 2 and before:
        x0_hat = process.extrapolate(s, prediction.t, before[0], x0_hat, before[1])
        x0_hat = x0_hat.clamp(data.lo, data.hi)
    mean = process.mean(s, prediction.t, x_t, x0_hat, prediction.eps_hat)
    return mean + seen.frame.colour(sigma_sq.clamp(max=limit).sqrt(), eps)
