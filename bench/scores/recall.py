"""Recall (Kynkäänniemi et al. 2019): the share of the reference within the balls of the samples."""

import math
from typing import Any

import numpy as np

from bench.scores import Metric

PAIRS = 10**8  # distances in memory for the standard error at most, 400 MB


class Recall(Metric):
    """Its standard error is from random halves of the samples, as for KID.

    There is none if the distances do not fit into memory (`PAIRS`), or if no half differs.
    """

    name = label = "recall"
    title = "Recall"
    higher_is_better = True
    needs = ("features", "features of the reference")

    def compute(self, samples: Any) -> tuple[float, float | None]:
        """See `bench.scores.neighbours` for the balls.

        samples: a `bench.scores.samples.Samples` whose reference has features.
        """
        from bench.scores.neighbours import covered, double, radii

        points, reference = double(samples.features), double(samples.reference.features)
        share = covered(reference, points, radii(samples.features))
        n = len(points)
        if n * max(n, len(reference)) > PAIRS:
            return share, None
        spread = float(np.std(_of_halves(points, reference, samples), ddof=1))
        half = n // 2
        return share, spread * math.sqrt(half / (n - half)) or None


def _of_halves(points, reference, samples):
    """Recall of `samples.resamples` random halves of the points."""
    import torch

    from bench.scores.neighbours import NEIGHBOUR

    among = torch.cdist(points, points).float()
    across = torch.cdist(reference, points).float()
    random = samples.generator("recall")
    shares = []
    for _ in range(samples.resamples):
        half = torch.from_numpy(random.permutation(len(points))[: len(points) // 2])
        nearest = min(NEIGHBOUR + 1, len(half))
        balls = among[half][:, half].kthvalue(nearest).values
        shares.append((across[:, half] <= balls).any(1).double().mean().item())
    return shares
