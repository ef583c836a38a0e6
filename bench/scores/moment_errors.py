"""Errors of the samples' mean and covariance, where those of the law are known."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64

from bench.scores.law import Distance


class MeanError(Distance):
    """‖mean of the samples − mean of the law‖."""

    name, group = "mean_error", "distances"
    title = label = "error of the mean"

    def distance(self, samples: Any) -> Callable[[Float64[np.ndarray, " n"]], float]:
        """Of samples with weights, from the law's mean."""
        centred = samples.features - samples.law.moments()[0].numpy()
        return lambda weights: float(np.linalg.norm(weights @ centred))


class CovarianceError(Distance):
    """‖covariance of the samples − that of the law‖ / ‖that of the law‖, Frobenius norms."""

    name, group = "covariance_error", "distances"
    title = label = "relative error of the covariance"

    def distance(self, samples: Any) -> Callable[[Float64[np.ndarray, " n"]], float]:
        """Of samples with weights, from the law's covariance."""
        mean, covariance = (moment.numpy() for moment in samples.law.moments())
        centred = samples.features - mean

        def distance(weights):
            shift = weights @ centred
            found = (weights[:, None] * centred).T @ centred - np.outer(shift, shift)
            return float(np.linalg.norm(found - covariance) / np.linalg.norm(covariance))

        return distance
