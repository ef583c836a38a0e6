"""The Kronecker product of a covariance of colours and a spectrum in the DCT, both read off x_t
(after Xia 2026).

With R(x_t) a rotation of the channels, c(x_t) the variance of each rotated channel and s(x_t) that
of each frequency,

    v = (R diag(c) Rᵀ) ⊗ (Dᵀ diag(s) D),    D the two-dimensional DCT,

so in the frame R ⊗ Dᵀ the spectrum is w_ku = c_k s_u. The head gives the logarithms of c, of which
the mean is left out as it is in s, a number for each pair of channels, from which R is made, and a
number for each frequency. An untrained head has the DCT of the channels as R: their mean comes
first, as in a luminance.
"""

import math

from bench.covariance import Batch, Head, Seen, Variant, positive
from bench.covariance.jump import jump_loss
from bench.frames import Dct, dct_matrix
from bench.process import Tensor


class Kdct(Variant):
    """Trained by the likelihood of ε − ε̂ in the frame."""

    name = "kdct"
    source = "after Xia 2026"
    look = ("#44AA99", "*")
    assumes = "imperfect mean"
    frame = "dct"
    conditional = True
    head = Head(outputs="image")

    def numbers(self, shape: tuple[int, ...]) -> int:
        channels, height, width = shape
        return math.comb(channels + 1, 2) + height * width

    def loss(self, batch: Batch, output: Tensor) -> Tensor:
        frame, w = kronecker(output.double(), batch.data.shape)
        energies = frame.energies(batch.eps - batch.eps_hat)
        return 0.5 * (w.log() + energies / w).sum(1)

    def basis(self, seen: Seen) -> Dct:
        return kronecker(seen.head, seen.shape)[0]

    def spectrum(self, seen: Seen) -> Tensor:
        return kronecker(seen.head, seen.shape)[1]


class JumpDct(Kdct):
    """Trained on the bound's terms of jumps of every length, as `jump`."""

    name = "jump_dct"
    source = "this benchmark"
    look = ("#44AA99", "P")

    def loss(self, batch: Batch, output: Tensor) -> Tensor:
        frame, w = kronecker(output.double(), batch.data.shape)
        return jump_loss(batch, w, frame)


def kronecker(output: Tensor, shape: tuple[int, ...]) -> tuple[Dct, Tensor]:
    """The frame of each image and its spectrum, (batch, dim), from a head's output."""
    import torch  # here, because reading the configuration imports this file

    channels = shape[0]
    pairs = torch.tril_indices(channels, channels, offset=-1)
    colours, angles, frequencies = output.split(
        [channels, pairs.shape[1], output.shape[1] - channels - pairs.shape[1]], dim=1
    )
    generator = output.new_zeros(len(output), channels, channels)
    generator[:, pairs[0], pairs[1]] = angles
    rotation = output.new_tensor(dct_matrix(channels)).T @ torch.matrix_exp(
        generator - generator.mT
    )
    c = (colours - colours.mean(dim=1, keepdim=True)).exp()
    w = c[:, :, None] * positive(frequencies)[:, None, :]
    return Dct(shape, rotation), w.flatten(1)
