"""The Kronecker product of colours and frequencies, against matrices written out by numpy."""

import numpy as np
import pytest
import torch
from scipy.fft import dctn
from torch.distributions import MultivariateNormal, kl_divergence

from bench import covariance, heads, process, schedule
from bench.covariance.jump import jumps
from bench.covariance.kdct import kronecker
from bench.data.dataset import Data

SHAPE, DIM = (3, 2, 4), 24
MADE = schedule.make("linear", 20)
DDPM = process.make("ddpm", MADE)
KDCT = covariance.get("kdct")


def output(images, seed=0):
    numbers = KDCT.numbers(SHAPE)
    random = np.random.default_rng(seed).normal(size=(images, numbers))
    return torch.from_numpy(random)


def as_matrices(frame, w):
    """v of each image, (images, dim, dim)."""
    units = torch.eye(DIM, dtype=torch.float64)
    return torch.stack([frame.colour(w, unit.expand(len(w), DIM)) for unit in units], dim=2)


def test_v_is_a_kronecker_product_with_the_dct():
    """C ⊗ (Dᵀ diag(s) D), with C read off the blocks of v and D made by scipy, column by column."""
    frame, w = kronecker(output(5), SHAPE)
    units = np.eye(8).reshape(8, 2, 4)
    D = dctn(units, axes=(1, 2), norm="ortho").reshape(8, 8).T
    for v in as_matrices(frame, w).numpy():
        in_dct = np.einsum("uh,khlj,vj->kulv", D, v.reshape(3, 8, 3, 8), D)
        of_first, of_colours = np.einsum("uu->u", in_dct[0, :, 0]), in_dct[:, 0, :, 0]
        expected = np.kron(of_colours, np.diag(of_first)).reshape(3, 8, 3, 8) / of_first[0]
        np.testing.assert_allclose(in_dct, expected, atol=1e-12)
        assert (np.linalg.eigvalsh(of_colours) > 0).all() and (of_first > 0).all()


def test_an_untrained_head_has_one_variance_and_the_mean_of_the_channels_first():
    frame, w = kronecker(torch.zeros(1, KDCT.numbers(SHAPE), dtype=torch.float64), SHAPE)
    np.testing.assert_allclose(w, np.log1p(np.exp(-2)) + 1e-5, rtol=1e-12)
    np.testing.assert_allclose(frame.rotation[0, :, 0], 3**-0.5, rtol=1e-12)


@pytest.fixture
def batch():
    """A training batch of random numbers; x̂_0 is not clipped."""
    random = np.random.default_rng(1)
    levels = random.integers(0, 256, size=(8, *SHAPE)).astype(np.uint8)
    data = Data("random", levels, levels, 256, None, None, "0" * 16)
    x_0 = torch.from_numpy(data.to_float(data.train))
    eps, missed = (torch.from_numpy(random.normal(size=(8, DIM))) for _ in range(2))
    t = torch.arange(1, 9)
    a, b = heads.of_rows(MADE.signal, t), heads.of_rows(MADE.noise, t)
    return heads.Batch(x_0, eps, a * x_0 + b * eps, t, eps - 0.1 * missed, DDPM, data, (0, "toy"))


def test_the_loss_is_the_likelihood_of_the_noise(batch):
    frame, w = kronecker(output(8), SHAPE)
    law = MultivariateNormal(batch.eps_hat, as_matrices(frame, w))
    expected = -law.log_prob(batch.eps) - DIM / 2 * np.log(2 * np.pi)
    torch.testing.assert_close(KDCT.loss(batch, output(8)), expected, rtol=1e-10, atol=0)


def test_the_loss_of_jump_dct_is_the_divergence_of_full_gaussians(batch):
    """Of the jump that was drawn. From t = 1 the jump goes to the data and has no divergence."""
    found = covariance.get("jump_dct").loss(batch, output(8))
    frame, w = kronecker(output(8), SHAPE)
    steps, identity = jumps(np.arange(1, 9), MADE.N, batch.names), torch.eye(DIM).double()
    assert found[0] == 0
    for row in range(1, 8):
        s, t = int(steps[row]), row + 1
        scale = MADE.noise_sq[t] / MADE.alpha_bar[t]
        clipped = (scale * w).clamp(max=torch.as_tensor(frame.caps))
        lambda_sq, gamma = DDPM.lambda_sq(s, t), DDPM.gamma(s, t)
        sigma = lambda_sq * identity + gamma**2 * as_matrices(frame, clipped)[row]
        error = gamma * (batch.x_0 - batch.x0_hat)[row]
        q = MultivariateNormal(error, lambda_sq * identity)
        expected = kl_divergence(q, MultivariateNormal(torch.zeros(DIM).double(), sigma))
        torch.testing.assert_close(found[row], expected, rtol=1e-9, atol=0)


def test_both_train_from_an_untrained_head(batch):
    """Gradients are finite where all variances are equal."""
    for name in ("kdct", "jump_dct"):
        untrained = torch.zeros(8, KDCT.numbers(SHAPE), requires_grad=True)
        covariance.get(name).loss(batch, untrained).sum().backward()
        assert untrained.grad.isfinite().all() and (untrained.grad[1:] != 0).any()
