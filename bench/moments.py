"""Moments of the mean model over q(x_t): everything the state-independent variants need, for every step t.

For each t, M draws of x_0 from the training data and of ε give, per coordinate,

    eps_sq          E[ε̂²]
    error_sq        E[(ε − ε̂)²]
    x0_hat, _sq     E[x̂_0], E[x̂_0²]                        x̂_0 clipped to the data range
    x0_error_sq     E[(x_0 − x̂_0)²]                        the same
    total_variance  (a_t²/b_t²)(Var[x_0] − E(x̂_0 − E x_0)²)  x̂_0 as predicted, both terms over the same draws

Two of them are small differences of large numbers: 1 − E[ε̂²] at noisy steps, where ε̂ is nearly ε, and
total_variance at clean ones, where x̂_0 is nearly x_0 and a_t²/b_t² is huge. A quantity whose mean is known to be
zero is used as a control variate for each, ε² − 1 and (x_0 − E x_0) ε: the estimate is mean(q − c z) with the
regression coefficient c of q on z over all coordinates and draws of the step. The expectation is the same up to
O(1/M). (M = 50 000 in Bao et al. 2022a; their Table 5 finds 10 to 100 enough.)

total_variance takes x̂_0 unclipped because its derivation, E[(x_0 − x̂_0) x̂_0] = 0, holds for E[x_0 | x_t] only: for
data with much mass at the edges of the range, clipping turns the errors there to one side, and the product of
that first-order term with a_t²/b_t² overwhelms v at small t.
"""

import numpy as np
import torch
from tqdm import tqdm

from bench import noise

QUANTITIES = ("eps_sq", "error_sq", "x0_hat", "x0_hat_sq", "x0_error_sq", "total_variance")
WITH_ERRORS = ("eps_sq", "error_sq", "total_variance")


def estimate(model, data, schedule, draws, names, batch=512):
    """Moments of `model` over the training split.

    draws: M, the number of draws (network passes) at each step; names: (seed, setting); batch: rows a pass.
    Returns a dict of float64 arrays: every quantity of the table above, (N + 1, dim) with row 0 NaN; for eps_sq,
    error_sq and total_variance also `<name>_se` (N + 1, dim), the standard error of each coordinate, and
    `<name>_mean_se` (N + 1,), that of the mean over coordinates; and `draws`.
    """
    result = {name: np.full((schedule.N + 1, data.dim), np.nan) for name in QUANTITIES}
    for name in WITH_ERRORS:
        result[f"{name}_se"] = np.full((schedule.N + 1, data.dim), np.nan)
        result[f"{name}_mean_se"] = np.full(schedule.N + 1, np.nan)
    for t in tqdm(range(1, schedule.N + 1), desc=f"moments {names[-1]}", unit="step", mininterval=1.0):
        drawn = _draw(model, data, schedule, t, draws, names, batch)
        for name, value in _at_step(data, schedule.noise[t] / schedule.signal[t], *drawn).items():
            result[name][t] = value
    return {**result, "draws": np.int64(draws)}


def _draw(model, data, schedule, t, draws, names, batch):
    """(x_0, ε, ε̂) of every draw at step t, each (draws, dim)."""
    rows = noise.generator(*names, "moments", "rows", t).integers(len(data.train), size=draws)
    x_0 = data.to_float(data.train[rows])
    eps = noise.normal((*names, "moments", "eps", t), 0, draws, data.dim)
    x_t = torch.from_numpy(schedule.signal[t] * x_0 + schedule.noise[t] * eps).to(model.device)
    steps = torch.full((draws,), t, device=model.device)
    eps_hat = torch.cat([model(*part)[0] for part in zip(x_t.split(batch), steps.split(batch), strict=True)])
    return x_0, eps, eps_hat.cpu().numpy()


def _at_step(data, ratio, x_0, eps, eps_hat):
    """The moments of one step from arrays (draws, dim); ratio = b_t/a_t."""
    predicted = x_0 + ratio * (eps - eps_hat)
    x0_hat = predicted.clip(data.lo, data.hi)
    centred = x_0 - x_0.mean(axis=0)
    spread = centred**2 - (predicted - x_0.mean(axis=0)) ** 2
    samples = {
        "eps_sq": _controlled(eps_hat**2, eps**2 - 1),
        "error_sq": (eps - eps_hat) ** 2,
        "x0_hat": x0_hat,
        "x0_hat_sq": x0_hat**2,
        "x0_error_sq": (x_0 - x0_hat) ** 2,
        "total_variance": _controlled(spread / ratio**2, centred * eps),
    }
    result = {name: sample.mean(axis=0) for name, sample in samples.items()}
    for name in WITH_ERRORS:
        result[f"{name}_se"] = _standard_error(samples[name])
        result[f"{name}_mean_se"] = _standard_error(samples[name].mean(axis=1))
    return result


def _controlled(sample, zero_mean):
    """The sample less its regression on a variable of known mean zero, both (draws, dim)."""
    centred = sample - sample.mean(axis=0)
    return sample - (centred * zero_mean).sum() / max((zero_mean**2).sum(), np.finfo(float).tiny) * zero_mean


def _standard_error(sample):
    """Of the mean over the first axis; NaN for a single draw."""
    if len(sample) < 2:
        return np.full(sample.shape[1:], np.nan)
    return sample.std(axis=0, ddof=1) / np.sqrt(len(sample))
