"""Variances learned by a head on the frozen mean model (Bao et al. 2022b, section 4)."""

from bench.covariance import Batch, Head, Seen, Variant, squared_error
from bench.process import Tensor


class Npr(Variant):
    """The noise prediction residual: v = E[(ε − ε̂)² | x_t]. Right for an imperfect mean too."""

    name = "npr"
    source = "Bao 2022b"
    look = ("#009E73", ">")
    assumes = "imperfect mean"
    conditional = True
    head = Head(outputs="pixel")

    def loss(self, batch: Batch, output: Tensor) -> Tensor:
        return squared_error(output, (batch.eps - batch.eps_hat) ** 2)

    def spectrum(self, seen: Seen) -> Tensor:
        return seen.head


class Sn(Variant):
    """The squared noise: v = E[ε² | x_t] − ε̂². Right for a perfect mean only."""

    name = "sn"
    source = "Bao 2022b"
    look = ("#999933", "p")
    assumes = "perfect mean"
    conditional = True
    head = Head(outputs="pixel")

    def loss(self, batch: Batch, output: Tensor) -> Tensor:
        return squared_error(output, batch.eps**2)

    def spectrum(self, seen: Seen) -> Tensor:
        return seen.head - seen.eps_hat**2


class SnMean(Sn):
    """The mean of that v over the coordinates of each image: `avg_cov` in the authors' code."""

    name = "sn_mean"
    look = ("#999933", "H")

    def spectrum(self, seen: Seen) -> Tensor:
        return super().spectrum(seen).mean(1)[:, None]
