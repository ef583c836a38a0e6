"""The full covariance, the same for all images, in the frame of its eigenvectors (Su 2022b, eq. 5;
Bao et al. 2022b).

It is estimated from M draws. If there are few more draws than coordinates, the least eigenvalues
come out too small, and the bound suffers.
"""

import numpy as np
from jaxtyping import Float64

from bench.covariance import Seen, Variant
from bench.frames import Eigen, principal


class Full(Variant):
    """What both have in common."""

    frame = "eigen"

    def spectrum(self, seen: Seen) -> Float64[np.ndarray, " dim"]:
        return seen.frame.values


class MleFull(Full):
    """v = E[(ε − ε̂)(ε − ε̂)ᵀ]."""

    name = "mle_full"
    source = "Su 2022b"
    look = ("#882255", "h")
    assumes = "imperfect mean"
    moments = ("error_matrix",)

    def basis(self, seen: Seen) -> Eigen:
        return principal(seen.moments["error_matrix"])


class AnalyticFull(Full):
    """v = I − E[ε̂ε̂ᵀ]."""

    name = "analytic_full"
    source = "Su 2022b"
    look = ("#0072B2", "h")
    assumes = "perfect mean"
    moments = ("eps_matrix",)

    def basis(self, seen: Seen) -> Eigen:
        matrix = seen.moments["eps_matrix"]
        return principal(np.eye(len(matrix)) - matrix)
