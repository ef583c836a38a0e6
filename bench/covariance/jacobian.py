"""The covariance that the mean model itself implies: v = I − b_t ∂ε̂/∂x_t (`bench.jacobian`).

Nothing is learned, and the mean is assumed to be perfect.
"""

import math

from bench.covariance import Seen, Variant
from bench.frames import Frame
from bench.process import Tensor
from bench.runtime.errors import BenchError

LARGEST = 784  # coordinates of an image whose v may be a matrix: so many products an image
QUADRATURE = 20  # products with each of two vectors, in the bound of larger images


class FullJacobian(Variant):
    """All of v, by a product for each coordinate: what the others approximate."""

    name = "jacobian"
    source = "Meng 2021"
    look = ("#117733", "h")
    assumes = "perfect mean"
    version = 2  # products with the transpose of the Jacobian
    frame = "eigen"
    conditional = True

    def check_shape(self, shape: tuple[int, ...], in_bound: bool = False) -> None:
        dim = math.prod(shape)
        if self.products(dim, in_bound) == dim:
            check_matrix(dim)

    def products(self, dim: int, in_bound: bool = False) -> int:
        return dim

    def basis(self, seen: Seen) -> Frame:
        return seen.jacobian.eigen

    def spectrum(self, seen: Seen) -> Tensor:
        return seen.frame.values


class Lanczos(FullJacobian):
    """The root of the covariance times the noise of the step, by Lanczos (Akhtar 2026, 2605.22723).

    Row `lanczos-3` takes 3 products. The bound has no noise of a step: it is that of all of v,
    exact up to `LARGEST` coordinates, and by stochastic Lanczos quadrature above. Then each image
    has random signs of its own, and their error is in the standard error of the bound.
    """

    name = None
    family = "lanczos"
    source = "Akhtar 2026"
    look = ("#117733", "s")

    def __init__(self, products: int):
        self.name, self.taken = f"{self.family}-{products}", products

    def check_shape(self, shape: tuple[int, ...], in_bound: bool = False) -> None:
        if self.taken >= math.prod(shape):
            check_matrix(math.prod(shape))

    def products(self, dim: int, in_bound: bool = False) -> int:
        if in_bound:
            return dim if dim <= LARGEST else 2 * QUADRATURE
        return min(self.taken, dim)

    def basis(self, seen: Seen) -> Frame:
        if seen.direction is not None:
            return seen.jacobian.krylov(seen.direction, self.products(seen.direction.shape[1]))
        if seen.error is not None and seen.error.shape[1] > LARGEST:
            return seen.jacobian.quadrature(seen.error, seen.probe(), QUADRATURE)
        return seen.jacobian.eigen


def check_matrix(dim: int) -> None:
    """BenchError if v of images of `dim` coordinates is too large for a matrix."""
    if dim > LARGEST:
        raise BenchError(
            f"v as a matrix takes a product for each of {dim} coordinates; expected at most "
            f"{LARGEST}, or a variant that takes fewer, such as lanczos-3 or tmpd"
        )
