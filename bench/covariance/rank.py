"""The R largest eigenvalues of the error's covariance, and the mean of the rest for all other
directions: v = U Λ Uᵀ + σ_0² (I − U Uᵀ) (Bao et al. 2022b; Su 2022b, section 4.3).

Row `mle_rank-16` has R = 16. It takes d R numbers a step at any size.
"""

import numpy as np
from jaxtyping import Float64

from bench.covariance import Seen, Variant
from bench.frames import Eigen


class MleRank(Variant):
    family = "mle_rank"
    source = "Su 2022b"
    look = ("#882255", "s")
    assumes = "imperfect mean"
    frame = "eigen"

    def __init__(self, rank: int):
        self.name = f"{self.family}-{rank}"
        self.moments = (f"error_vectors-{rank}", f"error_values-{rank}")

    def basis(self, seen: Seen) -> Eigen:
        vectors, values = (seen.moments[name] for name in self.moments)
        return Eigen(vectors, values)

    def spectrum(self, seen: Seen) -> Float64[np.ndarray, " groups"]:
        return seen.frame.values
