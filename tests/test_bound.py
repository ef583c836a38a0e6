"""The bound against torch.distributions, scipy, and a cell-by-cell evaluation the slow way."""

import itertools

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Normal, kl_divergence

from bench import bound, covariance, noise, process, schedule, terms, trajectory
from bench.data.dataset import Data
from bench.denoiser import Denoiser

MADE = schedule.make("linear", 20)
DDPM = process.make("ddpm", MADE)


@pytest.mark.parametrize(
    "lower, upper",
    [(-1, 1), (3, 4), (-40, -39.9), (39.9, 40), (-1e-9, 1e-9), (8, np.inf), (-np.inf, -12)],
)
def test_normal_mass_in_both_tails(lower, upper):
    with mpmath.workdps(60):
        ends = [
            mpmath.ncdf(mpmath.mpf(end)) if lower <= 0 else mpmath.ncdf(-mpmath.mpf(end))
            for end in (lower, upper)
        ]
        exact = float(mpmath.log(abs(ends[1] - ends[0])))
    found = terms.log_normal_mass(
        *(torch.tensor([float(end)], dtype=torch.float64) for end in (lower, upper))
    )
    # The width of the narrowest interval is known to 1e-16/1e-9 relative
    assert found.item() == pytest.approx(
        exact, abs=1e-6 if upper == 1e-9 else 1e-12 * abs(exact) + 1e-12
    )


def test_middle_term_is_the_divergence_of_the_two_gaussians():
    s, t = 4, 11
    random = torch.Generator().manual_seed(0)
    x_0, x0_hat, x_t = (torch.randn(6, 5, generator=random, dtype=torch.float64) for _ in range(3))
    sigma_sq = torch.rand(6, 5, generator=random, dtype=torch.float64) + 0.01
    posterior = Normal(DDPM.mean(s, t, x_t, x_0, None), np.sqrt(DDPM.lambda_sq(s, t)))
    reverse = Normal(DDPM.mean(s, t, x_t, x0_hat, None), sigma_sq.sqrt())
    found = terms.middle_term(DDPM, s, t, sigma_sq, (x_0 - x0_hat) ** 2)
    torch.testing.assert_close(found, kl_divergence(posterior, reverse).sum(1), rtol=1e-10, atol=0)
    scalar = terms.middle_term(
        DDPM, s, t, torch.full((1, 1), 0.3, dtype=torch.float64), (x_0 - x0_hat) ** 2
    )
    whole = terms.middle_term(
        DDPM, s, t, torch.full((6, 5), 0.3, dtype=torch.float64), (x_0 - x0_hat) ** 2
    )
    torch.testing.assert_close(scalar, whole, rtol=1e-14, atol=0)


def test_prior_term():
    x_0 = torch.linspace(-1, 1, 10, dtype=torch.float64).reshape(2, 5)
    q = Normal(MADE.signal[20] * x_0, MADE.noise[20])
    torch.testing.assert_close(
        terms.prior_term(MADE, 20, x_0),
        kl_divergence(q, Normal(0.0, 1.0)).sum(1),
        rtol=1e-9,
        atol=1e-14,
    )


def test_last_term_is_a_distribution_over_levels(data):
    """exp(−last term) sums to one over the levels of a pixel, whatever the prediction."""
    levels = torch.linspace(data.lo, data.hi, data.levels, dtype=torch.float64)
    for prediction in (-1.0, -0.37, 0.99):
        x0_hat = torch.full((1, 1), prediction, dtype=torch.float64)
        of_level = torch.stack(
            [
                terms.last_term(data, level.reshape(1, 1), x0_hat, terms.last_sigma(MADE, 1))
                for level in levels
            ]
        )
        assert torch.exp(-of_level).sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    "name, N, declared",
    [("linear", 1000, 0.0042), ("cosine", 1000, 0.0026), ("cosine", 4000, 3e-4)],
)
def test_the_tanh_of_the_official_code_costs_what_the_tolerance_declares(name, N, declared):
    """Its cdf is ½(1 + tanh(√(2/π)(u + 0.044715 u³))), and no mass is below 1e-12. A pixel inside
    the range, 256 levels, and x_0 − x̂_0 normal of variance (b_1²/a_1²) v_1, with v_1 at most 1, as
    that of any good mean.
    """
    made, random = schedule.make(name, N), np.random.default_rng(0)
    images = random.integers(0, 256, size=(1, 1, 1, 1)).astype(np.uint8)
    pixels = Data("pixel", images, images, 256, None, None, "0" * 16)
    z, sigma = np.linspace(-8, 8, 2001)[:, None], terms.last_sigma(made, 1)
    weights = stats.norm.pdf(z[:, 0]) / stats.norm.pdf(z).sum()
    cdf = lambda u: 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (u + 0.044715 * u**3)))
    costs = []
    for v in np.linspace(0.05, 1, 20):
        error = np.sqrt(v) * made.noise[1] / made.signal[1] * z
        mass = cdf((error + 1 / 255) / sigma) - cdf((error - 1 / 255) / sigma)
        official = -np.log(mass.clip(1e-12))
        exact = terms.last_term(
            pixels, torch.zeros(error.shape, dtype=torch.float64), torch.from_numpy(-error), sigma
        )
        costs.append(weights @ (official[:, 0] - exact.numpy()) / np.log(2))
    assert max(costs) == costs[-1] == pytest.approx(declared, abs=5e-5)  # half of its last digit
    assert min(costs) > -1e-4


def test_a_chain_of_one_step_has_a_last_term():
    """Where the variant's variance is zero β_1 takes its place; so it does between the ends of
    improved_ddpm, which are equal.
    """
    made = schedule.make("linear", 1)
    x_0, x0_hat = (
        torch.tensor([[0.3, -0.2]], dtype=torch.float64),
        torch.tensor([[0.1, 0.1]], dtype=torch.float64),
    )
    found = terms.last_term_continuous(
        made, torch.zeros(1, 1, dtype=torch.float64), (x_0 - x0_hat) ** 2
    )
    torch.testing.assert_close(
        found, -Normal(x0_hat, np.sqrt(made.beta[1])).log_prob(x_0).sum(1), rtol=1e-12, atol=0
    )
    forward, variant = process.make("ddpm", made), covariance.get("improved_ddpm")
    for output in (-1.0, -0.2, 1.0):
        seen = covariance.Seen(1, made, head=np.array([[output]]))
        assert variant.reverse_variance(forward, 0, seen) == pytest.approx(made.beta[1], rel=1e-12)


def cells():
    made = []
    for variant in ("beta", "beta_tilde", "analytic_diagonal"):
        made += [
            bound.Cell("even", variant, 4, (1, 7, 14, 20)),
            bound.Cell("even", variant, 20, tuple(range(1, 21))),
        ]
    return [*made, bound.Cell("quadratic_ddim", "beta", 3, (1, 5, 17))]


def test_one_pass_grid_equals_cell_by_cell(data, linear_model):
    """Every cell afresh, image by image, with its own passes; the grid needs N passes an image."""
    eps_sq = np.random.default_rng(0).uniform(0.2, 0.8, size=(21, data.dim))
    moments = {"eps_sq": eps_sq, "eps_sq_mean": eps_sq.mean(axis=1)}
    found = bound.evaluate(
        Denoiser(linear_model, {}, moments, data, MADE), DDPM, cells(), 6, (0, "test"), batch=4
    ).total
    assert linear_model.rows == 20 * 6
    for cell, row in zip(cells(), found, strict=True):
        variant = covariance.get(cell.variant)
        for image in range(6):
            x_0 = torch.from_numpy(data.to_float(data.test[image : image + 1]))
            total = terms.prior_term(MADE, cell.steps[-1], x_0)
            for s, t in itertools.pairwise((0, *cell.steps)):
                eps = torch.from_numpy(noise.normal((0, "test", "bound", t), image, 1, data.dim))
                x_t = MADE.signal[t] * x_0 + MADE.noise[t] * eps
                x0_hat = ((x_t - MADE.noise[t] * 0.5 * x_t) / MADE.signal[t]).clamp(-1, 1)
                if s == 0:
                    total += terms.last_term(data, x_0, x0_hat, terms.last_sigma(MADE, 1))
                else:
                    at = covariance.MomentsAt(moments, t, variant)
                    seen = covariance.Seen(t, MADE, 1.0, moments=at)
                    sigma_sq = torch.as_tensor(variant.reverse_variance(DDPM, s, seen))
                    posterior = Normal(
                        DDPM.mean(s, t, x_t, x_0, None), np.sqrt(DDPM.lambda_sq(s, t))
                    )
                    total += kl_divergence(
                        posterior, Normal(DDPM.mean(s, t, x_t, x0_hat, None), sigma_sq.sqrt())
                    ).sum(1)
            assert row[image] == pytest.approx(total.item() / (data.dim * np.log(2)), rel=1e-10)


def test_the_parts_add_up_to_the_bound(data, linear_model):
    """Of each cell: the prior part, the mean terms of its steps, and the last part."""
    moments = {"eps_sq": np.random.default_rng(0).uniform(0.2, 0.8, size=(21, data.dim))}
    denoiser = Denoiser(linear_model, {}, moments, data, MADE)
    found = bound.evaluate(denoiser, DDPM, cells(), 6, (0, "test"), batch=4)
    unit = data.dim * np.log(2)
    for cell, total, prior, last in zip(cells(), found.total, found.prior, found.data, strict=True):
        x_0 = torch.from_numpy(data.to_float(data.test[:6]))
        expected = terms.prior_term(MADE, cell.steps[-1], x_0).numpy() / unit
        np.testing.assert_allclose(prior, expected, rtol=1e-12)
        steps = [found.terms[cell.variant, s, t][0] for s, t in cell.edges]
        assert total.mean() == pytest.approx((prior + last).mean() + sum(steps), rel=1e-12)
        mean, stderr = found.terms[cell.variant, 0, cell.steps[0]]
        assert mean == pytest.approx(last.mean(), rel=1e-12)
        assert stderr == pytest.approx(last.std(ddof=1) / 6**0.5, rel=1e-6)


def test_calibration_is_the_error_over_its_estimate(data, linear_model):
    """By numpy, of a variance of each coordinate. β and β̃ estimate none."""
    eps_sq = np.random.default_rng(0).uniform(0.2, 0.8, size=(21, data.dim))
    denoiser = Denoiser(linear_model, {}, {"eps_sq": eps_sq}, data, MADE)
    found = bound.evaluate(denoiser, DDPM, cells(), 6, (0, "test"), batch=4)
    # The step 1 has the last term alone, which does not read the variance.
    assert set(found.calibration) == {("analytic_diagonal", t) for t in range(2, 21)}
    for t in (2, 14):
        x_0 = data.to_float(data.test[:6])
        eps = noise.normal((0, "test", "bound", t), 0, 6, data.dim)
        x_t = MADE.signal[t] * x_0 + MADE.noise[t] * eps
        x0_hat = ((x_t - MADE.noise[t] * 0.5 * x_t) / MADE.signal[t]).clip(-1, 1)
        estimate = (MADE.noise_sq[t] / MADE.alpha_bar[t] * (1 - eps_sq[t])).clip(0, 1)
        ratio = ((x_0 - x0_hat) ** 2 / estimate).mean(axis=1)
        mean, stderr = found.calibration["analytic_diagonal", t]
        assert mean == pytest.approx(ratio.mean(), rel=1e-10)
        assert stderr == pytest.approx(ratio.std(ddof=1) / 6**0.5, rel=1e-6)
        in_total = ((x_0 - x0_hat) ** 2).sum(axis=1).mean() / estimate.sum()
        assert found.in_total["analytic_diagonal", t] == pytest.approx(in_total, rel=1e-10)


def test_a_trajectory_that_does_not_begin_at_1_ends_with_its_own_noise(data, linear_model):
    """−log p(x_0 | x_τ1) is that of N(x̂_0, b_τ1²), integrated over the level's bin."""
    t, images, half = 7, 3, 1 / 16
    cell = bound.Cell("optimal", "beta", 1, (t,))
    denoiser = Denoiser(linear_model, {}, None, data, MADE)
    (found,) = bound.evaluate(denoiser, DDPM, [cell], images, (0, "test")).total
    x_0 = data.to_float(data.test[:images])
    x_t = MADE.signal[t] * x_0 + MADE.noise[t] * noise.normal(
        (0, "test", "bound", t), 0, images, data.dim
    )
    x0_hat = ((1 - 0.5 * MADE.noise[t]) * x_t / MADE.signal[t]).clip(-1, 1)
    nats = terms.prior_term(MADE, t, torch.from_numpy(x_0)).numpy()
    for image, pixel in np.ndindex(x_0.shape):
        density = stats.norm(x0_hat[image, pixel], MADE.noise[t])
        value = x_0[image, pixel]
        low, high = value - half, value + half
        ends = -np.inf if low < -1 else low, np.inf if high > 1 else high
        nats[image] -= np.log(integrate.quad(density.pdf, *ends)[0])
    np.testing.assert_allclose(found, nats / (data.dim * np.log(2)), rtol=1e-7)


def test_batches_change_nothing(data, linear_model):
    whole = bound.evaluate(
        Denoiser(linear_model, {}, None, data, MADE), DDPM, cells()[:4], 20, (0, "test")
    ).total
    for batch in (1, 7):
        parts = bound.evaluate(
            Denoiser(linear_model, {}, None, data, MADE),
            DDPM,
            cells()[:4],
            20,
            (0, "test"),
            batch=batch,
        ).total
        np.testing.assert_allclose(parts, whole, rtol=1e-12)


def test_a_cell_does_not_depend_on_the_others(data, linear_model):
    """Not in a single bit: neither on their order nor on which there are."""
    moments = {
        name: np.random.default_rng(0).uniform(0.2, 0.8, size=(21, data.dim))
        for name in ("eps_sq", "error_sq")
    }
    moments |= {f"{name}_mean": values.mean(axis=1) for name, values in moments.items()}
    denoiser = Denoiser(linear_model, {}, moments, data, MADE)
    several = cells() + [
        bound.Cell("even", variant, K, tuple(trajectory.even(20, K)))
        for variant in ("analytic_scalar", "mle_scalar", "mle_diagonal")
        for K in (2, 5, 11)
    ]
    whole = bound.evaluate(denoiser, DDPM, several, 17, (0, "test")).total
    backwards = bound.evaluate(denoiser, DDPM, several[::-1], 17, (0, "test")).total
    assert (backwards[::-1] == whole).all()
    for cell, row in zip(several, whole, strict=True):
        assert (bound.evaluate(denoiser, DDPM, [cell], 17, (0, "test")).total == row).all()
