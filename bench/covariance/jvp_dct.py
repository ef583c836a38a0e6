"""A spectrum in the DCT from one product with v = I − b_t ∂ε̂/∂x_t (after Schioppa & Salimans 2026).

With random signs s and r = F s, s_i (Fᵀ v r)_i has the expectation (Fᵀ v F)_ii. Its mean over a
ring of equal frequency, |u| to the nearest integer, has less noise. The signs of a step are fixed,
the same for all images, so that an image does not depend on its batch. The channels are rotated as
in an untrained `kdct`. The mean is assumed to be perfect.
"""

import numpy as np

from bench import noise
from bench.covariance import Seen, Variant
from bench.frames import Dct, dct_matrix
from bench.process import Tensor


class JvpDct(Variant):
    name = "jvp_dct"
    source = "after Schioppa 2026"
    look = ("#117733", "*")
    assumes = "perfect mean"
    frame = "dct"
    conditional = True

    def products(self, dim: int, in_bound: bool = False) -> int:
        return 1

    def basis(self, seen: Seen) -> Dct:
        return Dct(seen.shape, seen.eps_hat.new_tensor(dct_matrix(seen.shape[0]).T))

    def spectrum(self, seen: Seen) -> Tensor:
        import torch  # here, because reading the configuration imports this file

        eps_hat = seen.eps_hat
        signs = noise.generator(self.name, seen.t).choice([-1.0, 1.0], size=(1, eps_hat.shape[1]))
        signs = torch.from_numpy(signs).to(eps_hat)
        probe = seen.frame.back(signs).expand_as(eps_hat)
        found = signs * seen.frame.transform(seen.jacobian.times(probe))
        ring = rings(seen.shape)
        sizes, ring = np.bincount(ring), torch.from_numpy(ring).to(found.device)
        sums = found.new_zeros(len(found), len(sizes)).index_add(1, ring, found)
        return (sums / found.new_tensor(sizes))[:, ring]


def rings(shape: tuple[int, ...]) -> np.ndarray:
    """The ring of each coordinate in the frame, (dim,): 0, 1, …, those of each channel apart."""
    channels, height, width = shape
    radius = np.hypot(*np.meshgrid(np.arange(height), np.arange(width), indexing="ij"))
    of_channel = np.unique(np.rint(radius), return_inverse=True)[1].reshape(-1)
    count = of_channel.max() + 1
    return (of_channel + count * np.arange(channels)[:, None]).reshape(-1)
