"""The covariance of the noise from the mean model's own Jacobian.

If the mean is perfect, ε̂ = E[ε | x_t], then (Tweedie's second-order formula; Meng et al. 2021)

    Cov[ε | x_t] = v(x_t) = I − b_t ∂ε̂/∂x_t.

A pass that keeps what derivatives need (`differentiate`) gives ε̂, and then each product with v is
one backward pass to x_t. The Jacobian of a network is not quite symmetric, so this is a product
with the transpose of v. Where v is needed as a matrix, its symmetric part is taken.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from bench.covariance.jacobian import check_matrix
from bench.frames import Eigen, Quadrature
from bench.runtime.errors import BenchError


class Jacobian:
    """v(x_t) of a batch.

    x_t: a leaf of the graph of `eps_hat`. noise: b_t, a number or (batch, 1). image: x_t as the
    network got it, in its shape and precision, if that is a leaf of its own; the derivatives by
    both add up.
    """

    def __init__(
        self,
        x_t: Float64[Tensor, "batch dim"],
        eps_hat: Float64[Tensor, "batch dim"],
        noise: float | Tensor,
        image: Float[Tensor, "batch channels height width"] | None = None,
    ):
        self.x_t, self.eps_hat, self.noise = x_t, eps_hat, noise
        self.leaves = [x_t] if image is None else [x_t, image]

    def times(self, z: Float64[Tensor, "batch dim"]) -> Float64[Tensor, "batch dim"]:
        """vᵀ z, by one product."""
        with torch.inference_mode(False):  # its tensors have no derivatives
            slopes = torch.autograd.grad(
                self.eps_hat, self.leaves, z.clone(), retain_graph=True, materialize_grads=True
            )
        return z - self.noise * sum(slope.reshape(z.shape).to(z) for slope in slopes)

    @cached_property
    def eigen(self) -> Eigen:
        """The eigenvectors and eigenvalues of the symmetric part of v, by a product for each
        coordinate.

        BenchError if there are more than `bench.covariance.jacobian.LARGEST`.
        """
        batch, dim = self.x_t.shape
        check_matrix(dim)
        columns = [self.times(unit.expand(batch, dim)) for unit in torch.eye(dim).to(self.x_t)]
        matrix = torch.stack(columns, dim=2)
        values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
        return Eigen(vectors, values)

    def krylov(self, z: Float64[Tensor, "batch dim"], products: int) -> Eigen:
        """The frame of the Lanczos vectors of z after `products` products.

        A function f of v times z is F f(values) Fᵀ z in it, exactly if f is a polynomial of degree
        below `products`: z itself is in the frame. The number of the other directions is 0 and does
        not matter. A vector of the frame is 0 if those before it hold all of f(v) z.
        """
        basis, diagonal, beside = [z / z.norm(dim=1, keepdim=True)], [], []
        for _ in range(products):
            new = self.times(basis[-1])
            diagonal.append((basis[-1] * new).sum(1))
            for _ in range(2):  # twice is enough to keep them orthogonal
                for earlier in basis:
                    new = new - (earlier * new).sum(1, keepdim=True) * earlier
            size = new.norm(dim=1, keepdim=True)
            beside.append(size[:, 0])
            basis.append(new / size.clamp(min=torch.finfo(new.dtype).tiny))
        vectors = torch.stack(basis[:-1], dim=2)
        tridiagonal = torch.diag_embed(torch.stack(diagonal, dim=1))
        if products > 1:
            off = torch.diag_embed(torch.stack(beside[:-1], dim=1), offset=1)
            tridiagonal = tridiagonal + off + off.mT
        values, rotation = torch.linalg.eigh(tridiagonal)
        rest = values.new_zeros(len(values), 1 if products < z.shape[1] else 0)
        return Eigen(vectors @ rotation, torch.cat([values, rest], dim=1))

    def quadrature(
        self,
        error: Float64[Tensor, "batch dim"],
        probe: Float64[Tensor, "batch dim"],
        products: int,
    ) -> Quadrature:
        """What the bound takes of v, by `products` products with the error and as many with the
        probe, random signs.
        """
        along_error, along_probe = self.krylov(error, products), self.krylov(probe, products)
        return Quadrature(along_error, error, along_probe, probe)


class Undeclared(Jacobian):
    """In place of v(x_t) for what has not said that it takes products with it.

    BenchError with the text `fault` if it is read.
    """

    def __init__(self, fault: str):
        self.fault = fault

    def __getattr__(self, name: str) -> Any:
        raise BenchError(self.fault)


def differentiate(
    model: Callable, x_t: Float64[Tensor, "batch dim"], t: Tensor, noise: float | Tensor
) -> tuple[Float64[Tensor, "batch dim"], Any, Jacobian]:
    """ε̂ and the features of one pass of a mean model (None if it has none), and v from its
    derivatives.

    model: `bench.mean.model.MeanModel`, or another with the same call. t: the step of each row,
    (batch,). noise: b_t, a number or (batch, 1).
    """
    with torch.inference_mode(False), torch.enable_grad():
        x_t = x_t.clone().requires_grad_()
        eps_hat, features = model(x_t, t.clone())
    if features is not None:
        features = replace(features, hidden=features.hidden.detach(), time=features.time.detach())
    return eps_hat.detach(), features, Jacobian(x_t, eps_hat, noise)
