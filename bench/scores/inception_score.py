"""The inception score (Salimans et al. 2016): exp E KL(p(y | x) ‖ p(y)) of predicted classes."""

import math
from typing import Any

import numpy as np

from bench.scores import Metric

SPLITS = 10  # parts of the samples at most, as published


class InceptionScore(Metric):
    """The mean over disjoint parts of the samples, whose spread gives its standard error."""

    name = "isc"
    title = "Inception score"
    label = "inception score"
    higher_is_better = True
    needs = ("logits",)

    def compute(self, samples: Any) -> tuple[float, float | None]:
        """By torch-fidelity, which shuffles the samples.

        samples: a `bench.scores.samples.Samples` with logits.
        """
        import torch

        from bench.runtime import imports

        imports.declare_torchvision()
        from torch_fidelity.metric_isc import isc_features_to_metric

        splits = min(SPLITS, len(samples.logits) // 2)
        # A copy in torch's own memory: the last bits of MKL's sums depend on the alignment.
        logits = torch.tensor(np.asarray(samples.logits))
        result = isc_features_to_metric(logits, splits, True, samples.seed("isc"))
        spread = result["inception_score_std"]
        return result["inception_score_mean"], spread / math.sqrt(splits - 1)
