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
from bench import heads as heads_module
from bench.thresholds import clip_threshold


def sample(model, heads, moments, data, process, variant, steps, first, count, clip_levels, names, batch=256, progress=None):
    """uint8 levels (count, channels, height, width) of images first .. first + count − 1.

    steps: τ_1 < … < τ_K; clip_levels: y above; names: (seed, setting); batch: images a pass;
    progress: called with the number of network passes × images done.
    """
    variant = covariance.get(variant)
    parts = []
    with torch.inference_mode():
        for start in range(first, first + count, batch):
            size = min(batch, first + count - start)
            x = torch.from_numpy(noise.normal((*names, "samples", "start"), start, size, data.dim))
            for s, t in reversed(list(itertools.pairwise([0, *steps]))):
                x = _step(x, s, t, model, heads, moments, data, process, variant, steps[0], clip_levels, start, names)
                if progress:
                    progress(size)
            parts.append(data.to_levels(x))
    return np.concatenate(parts)


def _step(x_t, s, t, model, heads, moments, data, process, variant, first_step, clip_levels, start, names):
    """x_s from x_t, both float64 (batch, dim)."""
    schedule = process.schedule
    eps_hat, features = model(x_t, torch.full((len(x_t),), t))
    x0_hat = ((x_t - schedule.noise[t] * eps_hat) / schedule.signal[t]).clamp(data.lo, data.hi)
    if s == 0:
        return x0_hat
    head = heads_module.outputs(heads, features).get(variant.head)
    data_variance = torch.as_tensor(variant.data_variance(t, schedule, data.radius, moments, eps_hat, head))
    sigma_sq = variant.variance(process, s, t, data_variance)
    if s == first_step:
        sigma_sq = sigma_sq.clamp(max=clip_threshold(clip_levels, data.levels, data.radius))
    eps = torch.from_numpy(noise.normal((*names, "samples", t), start, len(x_t), data.dim))
    return process.mean(s, t, x_t, x0_hat, eps_hat) + sigma_sq.sqrt() * eps
