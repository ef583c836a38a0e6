"""What a metric is computed from: the bounds of a cell, or the features of its samples."""

from dataclasses import dataclass

import numpy as np
import pandas

from bench import noise
from bench.runtime.errors import BenchError
from bench.scores.neighbours import NEIGHBOUR
from bench.scores.reference import Reference


@dataclass(frozen=True)
class Bounds:
    """The bounds of a cell's images, for a metric that needs the bound.

    values: (images,), in the unit of the metric's `column`; exact: −log p(x) of the same images in
    nats, where the law of the data is known.
    """

    values: pandas.Series
    exact: pandas.Series | None = None


@dataclass(frozen=True)
class Samples:
    """The features of n ≥ 4 samples, and the reference they are compared with.

    features: (n, d); logits: (n, classes), where the extractor has a last layer; resamples: the
    replicates behind a standard error; stream: names the random numbers that a metric draws.
    """

    features: np.ndarray
    logits: np.ndarray | None
    reference: Reference
    resamples: int
    stream: tuple

    def __post_init__(self):
        least = NEIGHBOUR + 1
        if len(self.features) < least:
            raise BenchError(
                f"samples.count: expected at least {least} images for FID and KID, "
                f"found {len(self.features)}"
            )

    def generator(self, purpose: str) -> np.random.Generator:
        """Random numbers that depend on the stream and the purpose only."""
        return noise.generator(*self.stream, purpose)

    def seed(self, purpose: str) -> int:
        """A seed below 2³¹ for a library that draws its own random numbers."""
        return int(self.generator(purpose).integers(2**31))
