"""Sampling: ancestral steps along a trajectory with any variant's reverse variance.

x_τK ~ N(0, I); every step adds noise of the variant's variance to the process's mean; the last step, to x_0,
shows the mean only. On the step that lands on τ_1 the variance is clipped to (2y/(levels − 1) · √(π/2))², so that
the noise moves a pixel by y grey levels on average at most (Bao et al. 2022a, Appendix F.2, with levels = 256).

Start and step noise are functions of (image, t): variants, processes and K share them.
"""

import itertools

import numpy as np
import torch

from bench import covariance, noise
from bench.thresholds import clip_threshold


def sample(
    denoiser, process, variant, steps, first, count, clip_levels, names, batch=256, progress=None
):
    """Images first .. first + count − 1 as the data are kept: uint8 levels (count, channels, height, width), or floats.

    denoiser: `bench.denoiser.Denoiser` with what the variant called `variant` needs; steps: τ_1 < … < τ_K;
    clip_levels: y above, of no account for data without levels; names: (seed, setting), the root of the noise;
    batch: images a pass; progress: called with the number of images after every pass.
    """
    data, parts = denoiser.data, []
    at_last = (
        np.inf if data.levels is None else clip_threshold(clip_levels, data.levels, data.radius)
    )
    with torch.inference_mode():
        for start in range(first, first + count, batch):
            size = min(batch, first + count - start)
            x = torch.from_numpy(
                noise.normal((*names, "samples", "start"), start, size, data.dim)
            ).to(denoiser.device)
            for s, t in reversed(list(itertools.pairwise([0, *steps]))):
                limit = at_last if s == steps[0] else np.inf
                eps = noise.normal((*names, "samples", t), start, size, data.dim) if s > 0 else 0.0
                x = step(denoiser.predict(x, t), x, s, process, variant, limit, eps)
                if progress:
                    progress(size)
            parts.append(data.to_levels(x.cpu()))
    return np.concatenate(parts)


def step(prediction, x_t, s, process, variant, limit, eps):
    """x_s from x_t, float64 (batch, dim): the process's mean, and noise `eps` of the variant's variance, at most `limit`."""
    if s == 0:
        return prediction.x0_hat
    t = prediction.t
    sigma_sq = torch.as_tensor(
        covariance.get(variant).variance(process, s, t, prediction.data_variance(variant)),
        device=x_t.device,
    )
    mean = process.mean(s, t, x_t, prediction.x0_hat, prediction.eps_hat)
    return mean + sigma_sq.clamp(max=limit).sqrt() * torch.as_tensor(eps, device=x_t.device)
