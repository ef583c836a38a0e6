"""The squared maximum mean discrepancy (Gretton et al. 2012) from a known law, without bias.

The kernel is k(x, y) = exp(−‖x − y‖²/(2 h²)), with h² the trace of the law's covariance. For a
mixture of Gaussians both expectations over the law have a closed form:

    E_y k(x, y) = Σ_k w_k |I + Σ_k/h²|^−½ exp(−½ (x − μ_k)ᵀ (Σ_k + h² I)⁻¹ (x − μ_k)),

and that of two independent draws is the same with differences of pairs of components.
"""

from typing import Any

import numpy as np

from bench.scores import Metric

BLOCK = 1000  # samples whose pairs are compared


class Mmd(Metric):
    """Unbiased, so it may be below 0. The pairs are those of blocks of samples, and the standard
    error is that of the mean over blocks (Zaremba et al. 2013).
    """

    name, group = "mmd_sq", "distances"
    title = label = "squared MMD"
    needs = ("features", "law")
    power = 2

    def compute(self, samples: Any) -> tuple[float, float | None]:
        """samples: a `bench.scores.samples.Samples` that has a law."""
        features = samples.features.astype(np.float64)
        law, (_, covariance) = samples.law.arrays(), samples.law.moments()
        width_sq = float(covariance.trace())
        size = min(BLOCK, len(features) // 2)
        values = []
        for start in range(0, len(features) - size + 1, size):
            block = features[start : start + size]
            of_pairs = _pairs(block, width_sq)
            with_law = _expected(law["weights"], law["means"], law["covariances"], block, width_sq)
            values.append(of_pairs - 2 * with_law.mean())
        of_law = 0.0
        for weight, mean, own in zip(law["weights"], law["means"], law["covariances"], strict=True):
            wider = law["covariances"] + own
            of_law += (
                weight * _expected(law["weights"], law["means"], wider, mean[None], width_sq)[0]
            )
        stderr = np.std(values, ddof=1) / np.sqrt(len(values))
        return float(np.mean(values) + of_law), float(stderr)


def _pairs(block, width_sq):
    """The mean of k over the pairs of different samples."""
    squares = (block**2).sum(1)
    kernel = np.exp(-(squares[:, None] + squares - 2 * block @ block.T) / (2 * width_sq))
    n = len(block)
    return (kernel.sum() - np.trace(kernel)) / (n * (n - 1))


def _expected(weights, means, covariances, points, width_sq):
    """E_y k(x, y) at each of `points`, (n,), for y from the mixture with these parameters."""
    identity, total = np.eye(points.shape[1]), np.zeros(len(points))
    for weight, mean, covariance in zip(weights, means, covariances, strict=True):
        away = points - mean
        solved = np.linalg.solve(covariance + width_sq * identity, away.T).T
        scale = np.linalg.det(identity + covariance / width_sq) ** -0.5
        total += weight * scale * np.exp(-0.5 * (away * solved).sum(1))
    return total
