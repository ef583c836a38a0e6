"""The spectrum from one product, for a Jacobian that is diagonal in the frame."""

import numpy as np
import torch

from bench import covariance, schedule
from bench.covariance.jvp_dct import rings
from bench.frames import Dct, dct_matrix
from bench.jacobian import Jacobian

MADE, SHAPE, DIM = schedule.make("linear", 20), (3, 4, 4), 48


def test_rings_are_the_nearest_radius_of_each_channel():
    expected = np.array([[0, 1, 2, 3], [1, 1, 2, 3], [2, 2, 3, 4], [3, 3, 4, 4]]).reshape(-1)
    np.testing.assert_array_equal(
        rings(SHAPE), np.concatenate([expected + 5 * c for c in range(3)])
    )


def test_one_product_finds_a_spectrum_that_is_constant_on_rings():
    """ε̂ = F diag(k) Fᵀ x_t with k of each ring: v = 1 − b_t k, whatever the signs are."""
    frame = Dct(SHAPE, dct_matrix(3).T)
    k = torch.linspace(0.1, 0.9, 15, dtype=torch.float64)[torch.from_numpy(rings(SHAPE))]
    x_t = torch.randn(2, DIM, dtype=torch.float64, requires_grad=True)
    eps_hat = frame.back(k * frame.transform(x_t))
    jacobian = Jacobian(x_t, eps_hat, MADE.noise[7])
    variant = covariance.get("jvp_dct")
    seen = covariance.Seen(
        7, MADE, eps_hat=eps_hat.detach(), shape=SHAPE, jacobian=jacobian
    ).framed(variant)
    expected = (1 - MADE.noise[7] * k).expand(2, DIM)
    torch.testing.assert_close(variant.spectrum(seen), expected, rtol=1e-12, atol=0)
