"""The Fréchet distance of Gaussians fitted to features, of all images and of bootstrap resamples.

    d² = |μ − ν|² + tr Σ + tr T − 2 tr (T^½ Σ T^½)^½      (Dowson & Landau 1982; Heusel et al. 2017)

with (μ, Σ) the mean and covariance of n features and (ν, T) those of the reference. The root
R = T^½ is taken once. Then the last trace is the sum of the singular values of the centred features
times R, over √(n − 1). They are the roots of the eigenvalues of an n × n matrix if there are fewer
images than features, where this is exact too, and of a symmetric d × d matrix otherwise. A resample
is a weight for each image, so its matrix follows from the one of all images.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float64, Real
from torch import Tensor

PART = 4096  # rows of features that are held as float64 at a time, for the covariance


@dataclass(frozen=True)
class Gaussian:
    """The Gaussian with the mean and covariance of the features of a reference."""

    mean: Float64[np.ndarray, " d"]
    covariance: Float64[np.ndarray, "d d"]

    @cached_property
    def root(self) -> Float64[Tensor, "d d"]:
        """The symmetric root of the covariance; eigenvalues that are rounded below 0 count as 0."""
        values, vectors = torch.linalg.eigh(torch.tensor(self.covariance))
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def fitted(features: Real[np.ndarray, "n d"]) -> Gaussian:
    """The `Gaussian` of n ≥ 2 features; the covariance is the unbiased one."""
    parts = [features[first : first + PART] for first in range(0, len(features), PART)]
    mean = sum(part.sum(axis=0, dtype=np.float64) for part in parts) / len(features)
    covariance = sum((part - mean).T @ (part - mean) for part in parts) / (len(features) - 1)
    return Gaussian(mean, covariance)


class Distances:
    """d² of n ≥ 2 features from a reference `Gaussian`, for any weights of the images."""

    def __init__(self, features: Real[np.ndarray, "n d"], reference: Gaussian) -> None:
        # A copy in torch's own memory is aligned, which the last bits depend on.
        features = torch.tensor(np.asarray(features), dtype=torch.float64)
        self.count, self.reference = len(features), reference
        self.centre = features.mean(0)
        self.centred = features - self.centre  # rounds less
        self.squares = self.centred.square().sum(1)
        self.rooted = self.centred @ reference.root
        self.gram = self.rooted @ self.rooted.T if self.count <= features.shape[1] else None

    def __call__(self, weights: Real[np.ndarray, " n"] | None = None) -> float:
        """d² if image i counts weights[i] times, with sum n; once each by default."""
        n = self.count
        if weights is None:
            weights = torch.ones(n, dtype=torch.float64)
        else:
            weights = torch.from_numpy(weights).double()
        shift = weights @ self.centred / n
        total = (weights @ self.squares - n * shift.square().sum()) / (n - 1)
        away = self.centre + shift - torch.from_numpy(self.reference.mean)
        by_images = self.gram is not None
        matrix = self._by_images(weights) if by_images else self._by_features(weights)
        eigenvalues = torch.linalg.eigvalsh(matrix)
        trace = eigenvalues.clamp(min=0).sqrt().sum() / (n - 1) ** 0.5
        return float(away.square().sum() + total + np.trace(self.reference.covariance) - 2 * trace)

    def _by_images(self, weights):
        """The Gram matrix of the features times R, of the images whose weight is not 0.

        The features are centred at their weighted mean and scaled by √weight.
        """
        kept = weights > 0
        weights, gram = weights[kept], self.gram[kept][:, kept]
        towards = gram @ weights / self.count
        gram = gram - towards[:, None] - towards + weights @ towards / self.count
        return gram * weights.sqrt()[:, None] * weights.sqrt()

    def _by_features(self, weights):
        """(n − 1) R Σ R."""
        kept = weights > 0
        rows = self.rooted[kept] * weights[kept, None].sqrt()
        shift = weights @ self.rooted / self.count
        return rows.T @ rows - self.count * torch.outer(shift, shift)


def bootstrap(distances: Distances, resamples: int, random: np.random.Generator) -> list[float]:
    """d² of `resamples` bootstrap resamples of the images, drawn with `random`."""
    n = distances.count
    return [
        distances(np.bincount(random.integers(n, size=n), minlength=n)) for _ in range(resamples)
    ]
