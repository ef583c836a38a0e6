"""Precision (Kynkäänniemi et al. 2019): the share of samples within the balls of the reference."""

import math
from typing import Any

from bench.scores import Metric


class Precision(Metric):
    """A share p of n independent images has the standard error √(p (1 − p)/n).

    There is none if p is 0 or 1: the formula would give 0, which is too small.
    """

    name = label = "precision"
    title = "Precision"
    higher_is_better = True
    needs = ("features", "features of the reference")

    def compute(self, samples: Any) -> tuple[float, float | None]:
        """See `bench.scores.neighbours` for the balls.

        samples: a `bench.scores.samples.Samples` whose reference has features.
        """
        from bench.scores.neighbours import covered, double

        reference = samples.reference
        share = covered(double(samples.features), double(reference.features), reference.radii)
        variance = share * (1 - share) / len(samples.features)
        return share, math.sqrt(variance) or None
