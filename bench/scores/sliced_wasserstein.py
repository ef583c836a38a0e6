"""The sliced Wasserstein distance (Bonneel et al. 2015) of order 2 from a known law:

    SW² = E_θ ∫_0^1 (F_θ⁻¹(u) − G_θ⁻¹(u))² du

for the distribution functions F_θ and G_θ of samples and law along a direction θ, uniform on the
sphere. A mixture of Gaussians has a mixture of Gaussians along every direction.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtr

from bench.scores.law import Distance

DIRECTIONS = 50  # the same ones for all samples of a setting
GRID = 8192  # points between which a distribution function is linear
TAIL = 8.0  # standard deviations of a component that the grid covers


class SlicedWasserstein(Distance):
    name, group = "sliced_wasserstein", "distances"
    title = label = "sliced Wasserstein distance"

    def distance(self, samples: Any) -> Callable[[Float64[np.ndarray, " n"]], float]:
        """Sorts the samples along every direction once."""
        law, dim = samples.law.arrays(), samples.features.shape[1]
        directions = samples.generator("directions").normal(size=(DIRECTIONS, dim))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lines = []
        for direction in directions:
            along = samples.features.astype(np.float64) @ direction
            order = np.argsort(along)
            lines.append((order, along[order], *_distribution(law, direction)))

        def distance(weights):
            squares = []
            for order, points, grid, probability in lines:
                mass = weights[order]
                middles = np.cumsum(mass) - mass / 2
                of_law = np.interp(middles, probability, grid)
                squares.append(mass @ (points - of_law) ** 2)
            return float(np.sqrt(np.mean(squares)))

        return distance


def _distribution(law, direction):
    """(points, the law's distribution function there) along a direction."""
    means = law["means"] @ direction
    scales = np.sqrt(np.einsum("i,kij,j->k", direction, law["covariances"], direction))
    grid = np.linspace((means - TAIL * scales).min(), (means + TAIL * scales).max(), GRID)
    return grid, ndtr((grid[:, None] - means) / scales) @ law["weights"]
