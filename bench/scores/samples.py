"""What a metric of the samples is computed from: their features."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from bench import noise
from bench.runtime.errors import BenchError
from bench.scores import frechet
from bench.scores.neighbours import NEIGHBOUR
from bench.scores.reference import Reference


@dataclass(frozen=True)
class Samples:
    """The features of n ≥ 4 samples, and the reference they are compared with.

    logits: None if the extractor has no last layer; resamples: the number of replicates behind a
    standard error; stream: the name of the random numbers that a metric draws; law: the
    `bench.mixture.Mixture` that the data are drawn from, if it is known and the features are
    coordinates.
    """

    features: Float[np.ndarray, "n d"]
    logits: Float[np.ndarray, "n classes"] | None
    reference: Reference
    resamples: int
    stream: tuple
    law: object = None

    def __post_init__(self) -> None:
        least = NEIGHBOUR + 1
        if len(self.features) < least:
            raise BenchError(
                f"samples.count: expected at least {least} images for FID and KID, "
                f"found {len(self.features)}"
            )

    @cached_property
    def frechet_distances(self) -> tuple[float, list[float]]:
        """The Fréchet distance from the reference, and those of bootstrap resamples.

        Which images a resample has depends on the stream and on n only. So the k-th resamples of
        two sets of samples are paired.
        """
        distances = frechet.Distances(self.features, self.reference.gaussian)
        random = self.generator("bootstrap")
        return distances(), frechet.bootstrap(distances, self.resamples, random)

    def generator(self, purpose: str) -> np.random.Generator:
        """Random numbers that depend on the stream and the purpose only."""
        return noise.generator(*self.stream, purpose)

    def seed(self, purpose: str) -> int:
        """A seed below 2³¹ for a library that draws its own random numbers."""
        return int(self.generator(purpose).integers(2**31))
