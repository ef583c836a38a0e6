"""A spectrum in the DCT frame, a number for each frequency of each colour, the same for all images.

Natural images are nearly stationary, so their covariance is nearly diagonal in the DCT of each
channel, after a rotation of the channels. The rotation has the eigenvectors of the channels'
covariance at the step (after Xia 2026, whose spectrum depends on x_t). It costs d numbers a step
and no training.
"""

import numpy as np
from jaxtyping import Float64

from bench.covariance import Seen, Variant
from bench.frames import Dct


class MleDct(Variant):
    """v_i = E[(Fᵀ(ε − ε̂))_i²]: the maximum-likelihood spectrum."""

    name = "mle_dct"
    source = "after Xia 2026"
    look = ("#882255", "*")
    assumes = "imperfect mean"
    frame = "dct"
    moments = ("error_dct", "error_colours")

    def basis(self, seen: Seen) -> Dct:
        return Dct(seen.shape, seen.moments["error_colours"])

    def spectrum(self, seen: Seen) -> Float64[np.ndarray, " dim"]:
        return seen.moments["error_dct"]


class AnalyticDct(Variant):
    """v_i = 1 − E[(Fᵀε̂)_i²]: the spectrum for a perfect mean."""

    name = "analytic_dct"
    source = "after Xia 2026"
    look = ("#0072B2", "*")
    assumes = "perfect mean"
    frame = "dct"
    moments = ("eps_dct", "eps_colours")

    def basis(self, seen: Seen) -> Dct:
        return Dct(seen.shape, seen.moments["eps_colours"])

    def spectrum(self, seen: Seen) -> Float64[np.ndarray, " dim"]:
        return 1 - seen.moments["eps_dct"]
