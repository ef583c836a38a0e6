"""The maximum-likelihood variance of an imperfect mean: v = E[(ε − ε̂)²], over all coordinates or
for each.

It minimises the bound over state-independent variances whatever ε̂ is, because the error of the
mean counts as variance: E(ε − ε̂)² = E Cov[ε | x_t] + E bias² (Su 2022b; Bao et al. 2022b).
"""

import numpy as np
from jaxtyping import Float64

from bench.covariance import Seen, Variant


class MleScalar(Variant):
    name = "mle_scalar"
    source = "Su 2022b; Bao 2022b"
    look = ("#E69F00", "D")
    assumes = "imperfect mean"
    moments = ("error_sq_mean",)

    def spectrum(self, seen: Seen) -> float:
        return seen.moments["error_sq_mean"]


class MleDiagonal(Variant):
    name = "mle_diagonal"
    source = "Su 2022b; Bao 2022b"
    look = ("#D55E00", "d")
    assumes = "imperfect mean"
    moments = ("error_sq",)

    def spectrum(self, seen: Seen) -> Float64[np.ndarray, " dim"]:
        return seen.moments["error_sq"]
