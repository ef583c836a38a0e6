"""The row sums of v = I − b_t ∂ε̂/∂x_t as its diagonal, by one Jacobian product with ones.

From tweedie moment projected diffusions, which were made for inverse problems (Boys et al. 2023).
The mean is assumed to be perfect.
"""

from bench.covariance import Seen, Variant
from bench.process import Tensor


class Tmpd(Variant):
    name = "tmpd"
    source = "Boys 2023"
    look = ("#117733", "v")
    assumes = "perfect mean"
    version = 2  # products with the transpose of the Jacobian
    conditional = True

    def products(self, dim: int, in_bound: bool = False) -> int:
        return 1

    def spectrum(self, seen: Seen) -> Tensor:
        return seen.jacobian.times(seen.eps_hat.new_ones(seen.eps_hat.shape))
