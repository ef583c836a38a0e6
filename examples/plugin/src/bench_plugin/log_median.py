"""A conditional variance learned by the median of ln (ε − ε̂)².

The head's h minimises E|ln (ε − ε̂)² − h| for each coordinate. So it is the median of ln (ε − ε̂)²
given x_t. If ε − ε̂ is Gaussian with variance v, then (ε − ε̂)²/v is χ² with one degree of freedom,
and v = e^h/m with the median m of χ²_1. A few large errors, which decide a regression of (ε − ε̂)²,
hardly move a median. If ε − ε̂ is not Gaussian, v is not its variance: hence `assumes` is "nothing".
"""

from bench.covariance import Batch, Head, Seen, Variant
from bench.process import Tensor

MEDIAN = 0.454936  # of χ² with one degree of freedom: 2 erfinv(½)²
LEAST = 1e-6  # of (ε − ε̂)², so that the logarithm is finite
START = -2.0  # the logarithm that an untrained head says


class LogMedian(Variant):
    name = "log_median"
    source = "examples/plugin"
    assumes = "nothing"
    conditional = True  # it depends on x_t
    head = Head(outputs="pixel")  # a number for each coordinate

    def loss(self, batch: Batch, output: Tensor) -> Tensor:
        logarithm = ((batch.eps - batch.eps_hat) ** 2 + LEAST).log()
        return (output + START - logarithm).abs().sum(1)

    def spectrum(self, seen: Seen) -> Tensor:
        # E(ε − ε̂)² of the best mean is at most 1: an h beyond that is an error of the head.
        return ((seen.head + START).exp() / MEDIAN).clip(max=1.0)
