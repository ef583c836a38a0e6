"""The diffused mixture against quadrature, automatic differentiation and brute-force averages."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from bench import mixture, schedule

MADE = schedule.make("linear", 100)


@pytest.mark.parametrize("t", [1, 20, 100])
@pytest.mark.parametrize("x", [-3.0, 0.1, 2.5])
def test_conditional_moments_by_quadrature(t, x):
    one = mixture.random((0, "one-dimensional"), 3, 1)
    a, b = MADE.signal[t], MADE.noise[t]

    def density(x_0):
        prior = sum(
            w * stats.norm.pdf(x_0, m, s**0.5)
            for w, m, s in zip(
                one.weights.numpy(),
                one.means[:, 0].numpy(),
                one.covariances[:, 0, 0].numpy(),
                strict=True,
            )
        )
        return prior * stats.norm.pdf(x, a * x_0, b)

    grid = [np.clip(x / a, -9, 9), *one.means[:, 0].tolist()]
    mass, first, second = (
        integrate.quad(
            lambda x_0, p=p: x_0**p * density(x_0),
            -12,
            12,
            points=grid,
            epsabs=0,
            epsrel=1e-11,
            limit=500,
        )[0]
        for p in range(3)
    )
    mean, covariance = mixture.Oracle(one, MADE).conditional(
        torch.tensor([[x]], dtype=torch.float64), t
    )
    assert mean.item() == pytest.approx(first / mass, rel=1e-7, abs=1e-9)
    assert covariance.item() == pytest.approx(
        second / mass - (first / mass) ** 2, rel=1e-5, abs=1e-9
    )
    assert one.law(a, b**2).log_prob(
        torch.tensor([x], dtype=torch.float64)
    ).item() == pytest.approx(np.log(mass), rel=1e-8)


@pytest.mark.parametrize("t", [1, 30, 100])
def test_noise_and_covariance_are_derivatives_of_the_density(t):
    """Tweedie: E[ε | x_t] = −b ∇ log p_t, and Cov[ε | x_t] = I − b ∂ε/∂x_t."""
    made = mixture.random((0, "tweedie"), 4, 3)
    oracle, law = mixture.Oracle(made, MADE), made.law(MADE.signal[t], MADE.noise_sq[t])
    x_t = (law.sample((5,)) if t > 1 else made.draw((0, "x"), 5)).requires_grad_()
    (score,) = torch.autograd.grad(law.log_prob(x_t).sum(), x_t)
    torch.testing.assert_close(oracle.eps(x_t, t), -MADE.noise[t] * score, rtol=1e-7, atol=1e-9)
    jacobian = torch.autograd.functional.jacobian(lambda x: oracle.eps(x, t).sum(0), x_t).permute(
        1, 0, 2
    )
    covariance = oracle.conditional(x_t, t)[1] * MADE.alpha_bar[t] / MADE.noise_sq[t]
    torch.testing.assert_close(
        covariance,
        torch.eye(3, dtype=torch.float64) - MADE.noise[t] * jacobian,
        rtol=1e-6,
        atol=1e-8,
    )


def test_draws_have_the_moments_of_the_mixture():
    made = mixture.random((0, "moments"), 5, 3)
    mean, covariance = made.moments()
    draws = made.draw((0, "draws"), 40_000)
    assert (draws == made.draw((0, "draws"), 40_000)).all()
    centred = draws - mean
    assert ((centred.mean(0) / (centred.std(0) / 200)).abs() < 4.5).all()
    products = torch.einsum("ni,nj->nij", centred, centred)
    assert (((products.mean(0) - covariance) / (products.std(0) / 200)).abs() < 4.5).all()
    torch.testing.assert_close(made.law().mean, mean)


def test_total_variance_holds_on_average():
    """E Cov[x_0 | x_t] + Cov E[x_0 | x_t] = Cov[x_0]."""
    made = mixture.random((0, "total"), 3, 2)
    x_0 = made.draw((0, "x_0"), 50_000)
    x_t = MADE.signal[40] * x_0 + MADE.noise[40] * torch.from_numpy(
        np.random.default_rng(0).normal(size=x_0.shape)
    )
    mean, covariance = mixture.Oracle(made, MADE).conditional(x_t, 40)
    centre, total = made.moments()
    parts = covariance + torch.einsum("ni,nj->nij", mean - centre, mean - centre)
    assert (((parts.mean(0) - total) / (parts.std(0) / np.sqrt(len(x_0)))).abs() < 4.5).all()
