"""The structure of the covariance that the draws of the moments support, chosen at each step.

One number, the pixel diagonal, the spectrum in the DCT frame, or 16 eigenvectors and the mean of
the rest: a richer structure fits the draws better and new images worse, if the draws are few. So
the structure is the one with the least expected term of the bound on draws that it is not estimated
from (`error_rungs`, see `bench.structures`), which takes no further pass of the network. It is
then estimated from all draws.

The score is the term of a long jump. Those of short jumps depend less on the covariance. It is that
of half of the draws: a rich structure is chosen a little later than it pays, and the choice from
fewer than 100 draws is noisy. From one draw there is no score, and the variant is `mle_scalar`. At
equal scores it is the simplest.
"""

import numpy as np

from bench.covariance import Seen, Variant
from bench.covariance.dct import MleDct
from bench.covariance.mle import MleDiagonal, MleScalar
from bench.covariance.rank import MleRank
from bench.frames import Frame
from bench.process import Array
from bench.structures import RANK

RUNGS = (MleScalar(), MleDiagonal(), MleDct(), MleRank(RANK))  # in the order of `error_rungs`


class Adaptive(Variant):
    name = "adaptive"
    source = "this benchmark"
    look = ("#AA4499", "8")
    assumes = "imperfect mean"
    frame = "any"
    moments = ("error_rungs", *(name for rung in RUNGS for name in rung.moments))

    def check_shape(self, shape: tuple[int, ...], in_bound: bool = False) -> None:
        """Any shape: images that are too small for the eigenvectors have no score of them."""

    def basis(self, seen: Seen) -> Frame:
        return rung(seen).basis(seen)

    def spectrum(self, seen: Seen) -> Array | float:
        return rung(seen).spectrum(seen)


def rung(seen: Seen) -> Variant:
    """The variant of least score at the step of `seen`."""
    return RUNGS[np.argmin(seen.moments["error_rungs"])]
