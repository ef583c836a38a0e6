"""Thresholds and bounds of σ_2², the variance of the step that lands on τ_1 = 1, from the schedules
alone.

Theorem 2 of Bao et al. 2022a bounds the optimal variance of any step t → s,

    λ² ≤ σ² ≤ λ² + (√(b_t²/α_{t|s}) − √(b_s² − λ²))²,

and for data in an interval of half-width r also σ² ≤ λ² + γ² r². Their Table 7 prints, for t = τ_2
of the even trajectory, the lower and the smaller upper bound beside the threshold to which sampling
clips σ_2².
"""

from collections.abc import Mapping

import numpy as np

from bench import covariance, trajectory
from bench.covariance import MomentsAt, Seen
from bench.process import Process


def clip_threshold(clip_levels: float, radius: float = 1.0) -> float:
    """The largest σ² at the last noisy step, at which E|σ ε| = σ √(2/π) is y = `clip_levels` 255ths
    of the range, of half-width `radius` (Appendix F.2).

    However many grey levels the data have: the clip is about what an eye sees.
    """
    return (clip_levels * 2 * radius / 255 * np.sqrt(np.pi / 2)) ** 2


def bounds(forward: Process, s: int, t: int, radius: float = 1.0) -> tuple[float, float, float]:
    """(lower, upper for any data, upper for data in an interval of half-width `radius`) of
    σ²_{s|t}, 1 ≤ s < t.
    """
    lower = forward.lambda_sq(s, t)
    b = forward.schedule.noise[t] / np.sqrt(forward.schedule.skip_alpha(s, t))
    return (
        lower,
        lower + (b - forward.carry(s, t)) ** 2,
        lower + forward.gamma(s, t) ** 2 * radius**2,
    )


def analytic(
    moments: Mapping[str, np.ndarray], forward: Process, K: int, radius: float = 1.0
) -> tuple[float, float]:
    """(σ_2², its standard error): Analytic-DPM's estimate at the step of the even trajectory that
    lands on τ_1.

    It is not clipped to the threshold. moments: see `bench.moments`. radius: (hi − lo)/2 of the
    data.
    """
    variant = covariance.get("analytic_scalar")
    s, t = trajectory.even(forward.schedule.N, K)[:2]
    seen = Seen(t, forward.schedule, radius, moments=MomentsAt(moments, t, variant))
    slope = forward.gamma(s, t) ** 2 * seen.scale
    return (variant.reverse_variance(forward, s, seen).item(), slope * moments["eps_sq_mean_se"][t])
