"""v = 1 − ε̂²: that of `sn` with E[ε² | x_t] = 1 in place of a head.

A heuristic in the code of Bao et al. 2022b, for a mean model without a head. It estimates no
covariance: E[ε² | x_t] is 1 only on average over x_t.
"""

from bench.covariance import Seen, Variant
from bench.process import Tensor


class Heuristic(Variant):
    name = "heuristic"
    source = "Bao 2022b"
    look = ("#999933", "h")
    assumes = "perfect mean"
    conditional = True

    def spectrum(self, seen: Seen) -> Tensor:
        return 1 - seen.eps_hat**2
