"""Orthonormal frames, in which the covariance of a variant is diagonal.

Write v = F diag(w) Fᵀ with F orthonormal. Pixels of natural images are correlated, so F = I is a
poor frame for them. In another frame all formulas stay elementwise in the spectrum w:

    σ_i² = λ² + γ² (b_t²/a_t²) w_i
    KL   = ½ Σ_i [ln(σ_i²/λ²) + λ²/σ_i² − 1 + γ² (Fᵀ(x_0 − x̂_0))_i²/σ_i²]
    step:  mean + F (σ ⊙ Fᵀ z)

The root F diag(σ) Fᵀ is the symmetric one. So where σ is constant the noise is that of a scalar
variant.

Data in [lo, hi] have a variance of at most (r ‖f‖_1)² along a unit vector f, r = (hi − lo)/2. That
is r² for a pixel and d r² for the mean over all pixels. This is the cap of a spectrum: with r²
itself the low frequencies would be cut, which are the point of the frame.

Vectors that share a number of the spectrum are a group: a frame gives the energy of x in each group
and the group's size. In the frame of the r largest eigenvectors all other directions are one group.
"""

from collections.abc import Sequence
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float64
from scipy.fft import dct

from bench.process import Array, Tensor


class Frame:
    """The pixel frame, F = I. Other frames define the same names."""

    sizes: float | Float64[np.ndarray, " groups"] = 1.0  # how many vectors a group has
    caps: float | Float64[np.ndarray, " groups"] = 1.0  # ‖f‖_1² of a vector f of the group

    def energies(self, x: Array) -> Array:
        """(Fᵀx)², summed in each group: (batch, groups) for (batch, dim)."""
        return x**2

    def colour(self, scale: Array, z: Array) -> Array:
        """F diag(scale) Fᵀ z, (batch, dim). scale: (1 or batch, groups)."""
        return scale * z


PIXEL = Frame()


class Dct(Frame):
    """The two-dimensional DCT-II of each channel, after a rotation of the channels.

    shape: (channels, height, width). rotation: orthonormal, a new channel in each column, the same
    for all images, (channels, channels), or a tensor with one for each, (batch, channels,
    channels).
    """

    def __init__(self, shape: Sequence[int], rotation: Array):
        self.shape, self.rotation = tuple(shape), rotation

    @cached_property
    def caps(self) -> Array:
        """(dim,), or (batch, dim) if the rotation is that of each image."""
        _, height, width = self.shape
        of_columns, of_rows = (_squared_1_norms(dct_matrix(n)) for n in (height, width))
        of_frequencies = np.outer(of_columns, of_rows).reshape(-1)
        of_colours = abs(self.rotation).sum(-2) ** 2
        if not isinstance(of_colours, np.ndarray):
            of_frequencies = of_colours.new_tensor(of_frequencies)
        caps = of_colours[..., :, None] * of_frequencies
        return caps.reshape(*caps.shape[:-2], -1)

    def transform(self, x: Array) -> Array:
        """Fᵀx, (batch, dim)."""
        rotation, rows, columns = self._factors(x)
        channels = x.reshape(len(x), self.shape[0], -1)
        images = (rotation.swapaxes(-1, -2) @ channels).reshape(len(x), *self.shape)
        return (rows @ images @ columns.T).reshape(len(x), -1)

    def back(self, y: Array) -> Array:
        """F y, (batch, dim)."""
        rotation, rows, columns = self._factors(y)
        images = rows.T @ y.reshape(len(y), *self.shape) @ columns
        return (rotation @ images.reshape(len(y), self.shape[0], -1)).reshape(len(y), -1)

    def _factors(self, like):
        """The rotation, and the DCT of columns and of rows as matrices, of the kind of `like`."""
        _, height, width = self.shape
        factors = (self.rotation, dct_matrix(height), dct_matrix(width))
        return factors if isinstance(like, np.ndarray) else [_beside(like, one) for one in factors]

    def energies(self, x: Array) -> Array:
        return self.transform(x) ** 2

    def colour(self, scale: Array, z: Array) -> Array:
        return self.back(scale * self.transform(z))


class Eigen(Frame):
    """Orthonormal vectors, the same for all images or some for each, and one group of all other
    directions.

    vectors: (dim, k) or (batch, dim, k). values: their spectrum, and, if k < dim, as one more
    number that of the other directions: (groups,) or (batch, groups).
    """

    def __init__(self, vectors: Array, values: Array):
        self.vectors, self.values = vectors, values
        dim, k = vectors.shape[-2:]
        self.rest = dim - k
        self.sizes = np.append(np.ones(k), self.rest) if self.rest else 1.0

    @cached_property
    def caps(self) -> Array:
        caps = abs(self.vectors).sum(-2) ** 2
        if not self.rest:
            return caps
        # The variances along all directions sum to at most dim r².
        return _with_last(caps, self.vectors.shape[-2] / self.rest)

    def energies(self, x: Tensor) -> Tensor:
        energies = self._along(x) ** 2
        if not self.rest:
            return energies
        beside = (x**2).sum(1, keepdim=True) - energies.sum(1, keepdim=True)
        return _with_last(energies, beside.clamp(min=0.0))

    def colour(self, scale: Tensor, z: Tensor) -> Tensor:
        vectors, along, rest = _beside(z, self.vectors), self._along(z), 0.0
        if self.rest:
            scale, rest = scale[:, :-1], scale[:, -1:]
        within = (vectors @ ((scale - rest) * along)[:, :, None])[:, :, 0]
        return rest * z + within

    def _along(self, x):
        """The components of x along the vectors, (batch, k)."""
        return (x[:, None, :] @ _beside(x, self.vectors))[:, 0, :]


class Quadrature(Frame):
    """In place of the eigenvectors of v(x_t), where they are too many: what the bound takes of
    them, by Gauss quadrature (Golub & Meurant 2010; Ubaru et al. 2017).

    With m Lanczos steps on x, xᵀ f(v) x ≈ ‖x‖² Σ_j τ_j² f(θ_j). Over random signs z, E zᵀ f(v) z is
    tr f(v). So the groups are the θ_j of the error, with energies and no size, and those of z, with
    sizes and no energy. It has no vectors: it colours nothing.

    error, probe: the frames of the Lanczos vectors of x_0 − x̂_0 and of z. of_error, of_probe: x_0 −
    x̂_0 and z.
    """

    def __init__(self, error: Eigen, of_error: Tensor, probe: Eigen, of_probe: Tensor):
        import torch  # here, because reading the configuration imports this file

        energies, sizes = _weights(error, of_error), _weights(probe, of_probe)
        zeros = torch.zeros_like(energies)
        self.values = torch.cat([_ritz(error), _ritz(probe)], dim=1)
        self.sizes = torch.cat([zeros, sizes], dim=1)
        self.of_error = torch.cat([energies, zeros], dim=1)
        self.caps = float(of_error.shape[1])  # the variances along all directions sum to dim r²

    def energies(self, x: Tensor) -> Tensor:
        return self.of_error


def _ritz(frame):
    """The θ_j of Lanczos vectors, without the number of the other directions."""
    return frame.values[:, : frame.vectors.shape[-1]]


def _weights(frame, x):
    """‖x‖² τ_j², the energies of x along the Ritz vectors."""
    return frame.energies(x)[:, : frame.vectors.shape[-1]]


def _beside(x, values):
    """`values` as a tensor beside the tensor x."""
    return x.new_tensor(values) if isinstance(values, np.ndarray) else values


def _squared_1_norms(rows):
    """‖f‖_1² of each row f of a matrix."""
    return np.abs(rows).sum(axis=1) ** 2


def _with_last(values, last):
    """`values` with one more entry on the last axis."""
    if isinstance(values, np.ndarray):
        return np.append(values, last)
    import torch  # here, because reading the configuration imports this file

    last = torch.as_tensor(last, dtype=values.dtype, device=values.device)
    return torch.cat([values, last.expand(*values.shape[:-1], 1)], dim=-1)


@cache
def dct_matrix(n: int) -> Float64[np.ndarray, "n n"]:
    """The orthonormal DCT-II of n numbers as a matrix, a frequency in each row."""
    return dct(np.eye(n), axis=0, norm="ortho")


def principal(matrix: Float64[np.ndarray, "dim dim"]) -> Eigen:
    """The frame of all eigenvectors of a symmetric matrix, with its eigenvalues."""
    values, vectors = np.linalg.eigh(np.asarray(matrix, dtype=np.float64))
    return Eigen(vectors, values)
