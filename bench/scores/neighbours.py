"""Distances between features, and the balls that precision and recall are made of.

Kynkäänniemi et al. 2019: a set of images covers the union of the balls around its features, each
as large as the distance to the third nearest other feature of the set.
"""

import numpy as np
import torch
from jaxtyping import Float64, Real
from torch import Tensor

NEIGHBOUR = 3  # whose distance is the radius of a ball, as published
PART = 1000  # images whose distances to all others are in memory together


def double(array: Real[np.ndarray, "n d"]) -> Float64[Tensor, "n d"]:
    """A float64 copy in torch's own memory: the last bits of MKL's sums depend on the alignment."""
    return torch.tensor(np.asarray(array), dtype=torch.float64)


def radii(features: Real[np.ndarray, "n d"]) -> Float64[Tensor, " n"]:
    """The distance of each feature from its `NEIGHBOUR`-th nearest."""
    points = double(features)
    parts = []
    for part in points.split(PART):
        distances = torch.cdist(part, points)
        parts.append(distances.kthvalue(NEIGHBOUR + 1).values)  # the nearest is the point itself
    return torch.cat(parts)


def covered(
    points: Float64[Tensor, "n d"], centres: Float64[Tensor, "m d"], balls: Float64[Tensor, " m"]
) -> float:
    """The share of points in a ball around one of the centres. balls: their radii."""
    inside = [(torch.cdist(part, centres) <= balls).any(1) for part in points.split(PART)]
    return torch.cat(inside).double().mean().item()
