"""The variances themselves, to be looked at: σ² along a trajectory, v over coordinates, maps over
an image, and spectra.

The bound and FID say how good a variance is. This says what it is, on the first `IMAGES` test
images and at some steps. x_t is drawn as for the bound. A pass of the mean model serves all
variants, as there.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float64

from bench import covariance, noise
from bench.bound import random_signs
from bench.denoiser import Denoiser
from bench.process import Process
from bench.schedule import Schedule

IMAGES = 16
STEPS = 40  # at most so many of a trajectory
RATIOS = (0.1, 0.3, 1.0, 3.0)  # of noise to signal, b_t/a_t, of the steps that maps are drawn at
SPREAD = (0.1, 0.9)  # quantiles over images and coordinates
ROW = ["K", "variant", "s", "t", "lower", "upper", "sigma_sq", "v", "v_low", "v_high"]

Arrays = dict[str, Float64[np.ndarray, "..."]]


def looked_at(schedule: Schedule) -> list[int]:
    """The steps whose ratio of noise to signal is the closest to each of `RATIOS`, ascending."""
    ratio = schedule.noise[1:] / schedule.signal[1:]
    steps = [1 + int(np.abs(np.log(ratio / wanted)).argmin()) for wanted in RATIOS]
    return sorted(set(steps))


def some_edges(steps: Sequence[int]) -> list[tuple[int, int]]:
    """At most `STEPS` of the jumps (s, t) of a trajectory, evenly by the logarithm of t."""
    edges = list(zip(steps[:-1], steps[1:], strict=True))
    if len(edges) <= STEPS:
        return edges
    t = np.log([t for _, t in edges])
    nearest = [np.abs(t - wanted).argmin() for wanted in np.linspace(t[0], t[-1], STEPS)]
    return [edges[index] for index in sorted(set(nearest))]


def visited(
    schedule: Schedule, trajectories: Mapping[int, Sequence[int]], levels: int | None
) -> list[int]:
    """The steps of the passes that `measure` makes, ascending. levels: of the data."""
    steps = {t for taken in trajectories.values() for _, t in some_edges(taken)}
    return sorted(steps | set(looked_at(schedule) if levels is not None else ()))


def measure(
    denoiser: Denoiser,
    process: Process,
    variants: Sequence[str],
    trajectories: Mapping[int, Sequence[int]],
    stream: tuple,
) -> tuple[list[tuple], Arrays]:
    """(rows of the columns `ROW`, arrays of the steps `looked_at`).

    Parameters
    ----------
    denoiser : with the heads and moments that the variants read.
    process : of first order.
    trajectories : {K: τ_1 < … < τ_K}.
    stream : (seed, setting), the root of the noise.

    A row is a jump s → t of a trajectory. lower, upper: λ² and λ² + γ² min(b²/a², r²), between
    which the mean of σ² lies if the mean model is perfect (Bao et al. 2022a, Theorems 2 and 3).
    sigma_sq, v: means over images and coordinates; v_low and v_high: the quantiles `SPREAD`. v is
    NaN for a variant that estimates no covariance.

    The arrays are t, and for the first image x_0, x_t, x0_hat and error_sq, (x_0 − x̂_0)²; `map
    NAME`, Σ_0 of each conditional variant in pixels; and of those in the frame of the DCT
    `spectrum NAME`, the mean of v over images, and `energy NAME`, that of (Fᵀ(x_0 − x̂_0))² a²/b².
    Vectors have no maps and spectra.
    """
    data, schedule = denoiser.data, process.schedule
    jumps = {}
    for K, steps in trajectories.items():
        for s, t in some_edges(steps):
            jumps.setdefault(t, []).append((K, s))
    looked = looked_at(schedule) if data.levels is not None else []
    rows, arrays = [], {}
    x_0 = torch.from_numpy(data.to_float(data.test[:IMAGES])).to(denoiser.device)
    with torch.inference_mode():
        for t in visited(schedule, trajectories, data.levels):
            eps = noise.normal((*stream, "bound", t), 0, len(x_0), data.dim)
            x_t = schedule.signal[t] * x_0 + schedule.noise[t] * torch.from_numpy(eps).to(
                x_0.device
            )
            prediction = denoiser.predict(x_t, t, variants)
            error = x_0 - prediction.x0_hat
            probe = partial(random_signs, (*stream, "probe", t), 0, x_0)
            for name in variants:
                variant = covariance.get(name)
                seen = prediction.seen(name, error=error, probe=probe)
                v = _spread_of_v(variant, seen)
                for K, s in jumps.get(t, []):
                    rows.append((K, name, s, t, *_sigma_sq(process, variant, s, seen), *v))
                if t in looked:
                    _look(arrays, variant, seen, error)
            if t in looked:
                _look_at_images(arrays, t, x_0, prediction, error)
    shape = data.shape
    stacked = {key: np.stack(values) for key, values in arrays.items()}
    return rows, {
        key: value if key == "t" else value.reshape(-1, *shape) for key, value in stacked.items()
    }


def _sigma_sq(process, variant, s, seen):
    """(lower, upper, the mean of σ² over images and coordinates) of a jump."""
    lower = float(process.lambda_sq(s, seen.t))
    highest = min(seen.scale, seen.radius**2)
    upper = lower + float(process.gamma(s, seen.t) ** 2 * highest)
    values, weights = _weighted(variant.reverse_variance(process, s, seen), seen)
    return lower, upper, float(np.average(values, weights=weights))


def _spread_of_v(variant, seen):
    """(mean, low, high) of v over images and coordinates; NaN if no covariance is estimated."""
    if variant.assumes == "nothing":
        return (np.nan,) * 3
    values, weights = _weighted(variant.estimate(seen) / seen.scale, seen)
    spread = np.quantile(values, SPREAD, weights=weights, method="inverted_cdf")
    return float(np.average(values, weights=weights)), *map(float, spread)


def _weighted(values, seen):
    """(the numbers of all images and groups, how many directions each stands for), both flat."""
    values, sizes = (np.asarray(torch.as_tensor(one).cpu()) for one in (values, seen.frame.sizes))
    values, weights = np.broadcast_arrays(values, sizes)
    return values.ravel(), weights.ravel()


def _look(arrays, variant, seen, error):
    """Appends the map or the spectrum of a variant at the step of `seen`, if it has one."""
    is_map = variant.frame == "pixel" and variant.conditional
    if variant.assumes == "nothing" or not (is_map or variant.frame == "dct"):
        return
    estimate = torch.as_tensor(variant.estimate(seen), device=error.device).expand_as(error)
    if is_map:
        arrays.setdefault(f"map {variant.name}", []).append(estimate[0].cpu().numpy())
    else:
        energy = seen.frame.energies(error).mean(0) / seen.scale
        spectrum = estimate.mean(0) / seen.scale
        arrays.setdefault(f"spectrum {variant.name}", []).append(spectrum.cpu().numpy())
        arrays.setdefault(f"energy {variant.name}", []).append(energy.cpu().numpy())


def _look_at_images(arrays, t, x_0, prediction, error):
    """Appends what the first image looks like at step t."""
    images = {"x_0": x_0, "x_t": prediction.x_t, "x0_hat": prediction.x0_hat, "error_sq": error**2}
    for key, values in images.items():
        arrays.setdefault(key, []).append(values[0].cpu().numpy())
    arrays.setdefault("t", []).append(np.float64(t))
