"""Variances learned by a head on the frozen mean model (Bao et al. 2022b; the heads are trained in `bench.heads`).

NPR regresses the noise prediction residual, g ← (ε − ε̂)², and takes v = g: right for an imperfect mean. SN
regresses the squared noise, h ← ε², and takes v = h − ε̂²: right for a perfect mean only.
"""

from bench.covariance import Variant


class Npr(Variant):
    name = "npr"
    source = "Bao 2022b"
    head = "npr"

    def v(self, t, moments, eps_hat, head):
        return head


class Sn(Variant):
    name = "sn"
    source = "Bao 2022b"
    head = "sn"

    def v(self, t, moments, eps_hat, head):
        return head - eps_hat**2
