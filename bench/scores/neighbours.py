"""Distances between features, and the balls that precision and recall are made of.

Kynkäänniemi et al. 2019: a set of images covers the union of the balls around its features, each
as large as the distance to the third nearest other feature of the set.
"""

import numpy as np
import torch

NEIGHBOUR = 3  # whose distance is the radius of a ball, as published
PART = 1000  # images whose distances to all others are in memory together


def double(array: np.ndarray) -> torch.Tensor:
    """A float64 copy in torch's own memory: the last bits of MKL's sums depend on the alignment."""
    return torch.tensor(np.asarray(array), dtype=torch.float64)


def radii(features: np.ndarray) -> torch.Tensor:
    """Distance of each of n features (n, d) from its `NEIGHBOUR`-th nearest, float64 (n,)."""
    points = double(features)
    parts = []
    for part in points.split(PART):
        distances = torch.cdist(part, points)
        parts.append(distances.kthvalue(NEIGHBOUR + 1).values)  # the nearest is the point itself
    return torch.cat(parts)


def covered(points: torch.Tensor, centres: torch.Tensor, balls: torch.Tensor) -> float:
    """Share of points (n, d) in a ball around one of the centres (m, d), whose radii are (m,)."""
    inside = [(torch.cdist(part, centres) <= balls).any(1) for part in points.split(PART)]
    return torch.cat(inside).double().mean().item()
