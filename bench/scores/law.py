"""Distances of samples from a known law, a Gaussian mixture (`bench.mixture`).

The law is used as it is and not by draws from it. So the noise of a distance is that of the samples
alone.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64

from bench.scores import Metric


class Distance(Metric):
    """A distance that `distance` computes; the standard error is that of bootstrap resamples."""

    needs = ("features", "law")
    power = 1

    def distance(self, samples: Any) -> Callable[[Float64[np.ndarray, " n"]], float]:
        """The distance of the samples as a function of their weights, which sum to 1."""
        raise NotImplementedError

    def compute(self, samples: Any) -> tuple[float, float | None]:
        """samples: a `bench.scores.samples.Samples` that has a law."""
        distance, n = self.distance(samples), len(samples.features)
        random, replicates = samples.generator("bootstrap"), []
        for _ in range(samples.resamples):
            counts = np.bincount(random.integers(n, size=n), minlength=n)
            replicates.append(distance(counts / n))
        return distance(np.full(n, 1 / n)), float(np.std(replicates, ddof=1))
