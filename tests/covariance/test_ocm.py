"""Optimal covariance matching, where the Jacobian is a multiple of the identity."""

import torch

from bench import covariance, heads, process, schedule
from bench.jacobian import Jacobian
from tests.helpers.models import make_data

MADE = schedule.make("linear", 20)


def test_the_target_is_the_diagonal_of_the_jacobian():
    """For ε̂ = ½ x_t random signs find it without error: h = −½ b_t."""
    data, t = make_data(), torch.tensor([1, 7, 20])
    x_t = torch.randn(3, data.dim, dtype=torch.float64, requires_grad=True)
    b = heads.of_rows(MADE.noise, t)
    jacobian = Jacobian(x_t, 0.5 * x_t, b)
    forward, eps = process.make("ddpm", MADE), torch.zeros(3, data.dim, dtype=torch.float64)
    batch = heads.Batch(eps, eps, x_t, t, eps, forward, data, (0, "toy"), jacobian)
    ocm, expected = covariance.get("ocm"), (-0.5 * b).expand(3, data.dim)
    assert (ocm.loss(batch, expected) < 1e-25).all()
    torch.testing.assert_close(
        ocm.loss(batch, expected + 0.1), torch.full((3,), 0.01 * data.dim, dtype=torch.float64)
    )
    at = covariance.Seen(7, MADE, head=expected[1:2])
    torch.testing.assert_close(ocm.spectrum(at), 1 - 0.5 * b[1:2].expand(1, data.dim))
