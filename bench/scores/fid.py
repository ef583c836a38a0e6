"""FID (Heusel et al. 2017): the Fréchet distance of Gaussians fitted to features.

With clean-fid's resizings (Parmar et al. 2022) the same distance has names of its own, as values of
different resizings do not compare with one another.
"""

from typing import Any

import numpy as np

from bench.scores import Metric


class Fid(Metric):
    """The Fréchet distance, and its standard deviation over bootstrap resamples of the samples."""

    name = "fid"
    title = label = "FID"

    def compute(self, samples: Any) -> tuple[float, float | None]:
        """The distance from the Gaussian of the reference, which is not resampled.

        samples: a `bench.scores.samples.Samples`.
        """
        distance, replicates = samples.frechet_distances
        return distance, float(np.std(replicates, ddof=1))

    def replicates(self, samples: Any) -> list[float]:
        """The distances of those resamples."""
        return samples.frechet_distances[1]


class FidLegacyPytorch(Fid):
    """With pytorch-fid's bilinear resizing."""

    name, resizing, extractor = "fid_legacy_pytorch", "legacy_pytorch", "inception"
    title = "FID, clean-fid's legacy_pytorch resizing"
    label = "FID, legacy_pytorch resizing"


class FidClean(Fid):
    """With PIL's bicubic resizing, which averages if it shrinks."""

    name, resizing, extractor = "fid_clean", "clean", "inception"
    title = "FID, clean-fid's clean resizing"
    label = "FID, clean resizing"
