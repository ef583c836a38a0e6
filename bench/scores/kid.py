"""KID (Bińkowski et al. 2018): the unbiased MMD² of features under a cubic polynomial kernel."""

import math
from typing import Any

from bench.scores import Metric

SUBSET = 1000  # images of a subset at most, as published


class Kid(Metric):
    """The mean over random subsets: halves of the smaller set, or `SUBSET` images if fewer.

    The standard error is for fresh samples and a fresh reference. Over subsets of m of n images a
    mean spreads √(n/m − 1) times as far as over fresh sets of n (the delete-d jackknife of Shao &
    Wu 1989; once for halves), so the spread is divided by that. The error of a mean over so few
    subsets is added. The result is too large if samples and reference hardly differ, as KID is no
    mean of its images then.
    """

    name = "kid"
    title = label = "KID"
    needs = ("features", "features of the reference")

    def compute(self, samples: Any) -> tuple[float, float | None]:
        """By torch-fidelity, over `samples.resamples` subsets.

        samples: a `bench.scores.samples.Samples` whose reference has features.
        """
        from bench.runtime import imports
        from bench.scores.neighbours import double

        imports.declare_torchvision()
        from torch_fidelity.metric_kid import kid_features_to_metric

        n = min(len(samples.features), len(samples.reference.features))
        size = min(n // 2, SUBSET)
        result = kid_features_to_metric(
            double(samples.features),
            double(samples.reference.features),
            kid_subsets=samples.resamples,
            kid_subset_size=size,
            rng_seed=samples.seed("kid"),
            verbose=False,
        )
        spread = result["kernel_inception_distance_std"]
        of_whole = size / (n - size) + 1 / samples.resamples
        return result["kernel_inception_distance_mean"], spread * math.sqrt(of_whole)
