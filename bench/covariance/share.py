"""A share of the variance of `mle_diagonal`: v = ρ E[(ε − ε̂)²] of each coordinate.

Row `mle_share-25` has ρ = 25 %. It is no estimate of the covariance. A process of second order has
a better mean than x̂_0, and so less is left for its noise: the share that gives the best samples
says how much.
"""

import numpy as np
from jaxtyping import Float64

from bench.covariance import Seen, Variant


class MleShare(Variant):
    family = "mle_share"
    source = "this benchmark"
    look = ("#D55E00", "^")
    moments = ("error_sq",)

    def __init__(self, percent: int):
        self.name = f"{self.family}-{percent}"
        self.share = percent / 100

    def spectrum(self, seen: Seen) -> Float64[np.ndarray, " dim"]:
        return self.share * seen.moments["error_sq"]
