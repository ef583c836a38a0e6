"""What figures show of the variances, against closed forms."""

import numpy as np
import pytest

from bench import covariance, noise, process, schedule, trajectory, variances
from bench.covariance import Variant
from bench.data.dataset import Data
from bench.denoiser import Denoiser
from tests.helpers.models import LinearModel, make_data

MADE = schedule.make("linear", 100)
DDPM = process.make("ddpm", MADE)
TRAJECTORIES = {K: trajectory.fixed("even", 100, K) for K in (5, 100)}


def measured(variants, moments=None, data=None):
    """The rows by variant and jump, and the arrays."""
    model = LinearModel()
    denoiser = Denoiser(model, {}, moments, data or make_data(), MADE)
    rows, arrays = variances.measure(denoiser, DDPM, variants, TRAJECTORIES, (0, "toy"))
    found = {}
    for row in rows:
        named = dict(zip(variances.ROW, row, strict=True))
        found[named["variant"], named["K"], named["t"]] = named
    return found, arrays, model.rows


def test_the_variance_of_a_jump_and_its_bounds():
    """β̃ and β are the bounds of a full step (Bao et al. 2022a, Theorem 2: σ² ≤ β/α)."""
    rows, _, _ = measured(["beta_tilde", "beta"])
    at = rows["beta_tilde", 100, 2]
    assert at["s"] == 1 and at["sigma_sq"] == at["lower"]
    assert at["lower"] == pytest.approx(MADE.beta_tilde(1, 2), rel=1e-12)
    scale = MADE.noise_sq[2] / MADE.alpha_bar[2]
    assert scale < 1  # the range of the data is no bound at this step
    assert at["upper"] == pytest.approx(MADE.skip_beta(1, 2) / MADE.skip_alpha(1, 2), rel=1e-9)
    assert rows["beta", 100, 2]["sigma_sq"] == pytest.approx(MADE.skip_beta(1, 2), rel=1e-12)
    assert np.isnan(at["v"]) and np.isnan(at["v_low"])


def test_the_mean_and_the_spread_of_v():
    """v of `mle_diagonal` is the moment, so its quantiles are those of a known list."""
    v = np.linspace(0.1, 1.6, 16) / 100
    moments = {"error_sq": np.tile(v, (101, 1)), "error_sq_mean": np.full(101, 0.01)}
    rows, _, _ = measured(["mle_diagonal", "mle_scalar"], moments)
    t = TRAJECTORIES[5][1]
    at = rows["mle_diagonal", 5, t]
    assert at["v"] == pytest.approx(0.0085, rel=1e-12)
    assert (at["v_low"], at["v_high"]) == pytest.approx((0.002, 0.015), rel=1e-12)
    scale = MADE.noise_sq[t] / MADE.alpha_bar[t]
    expected = at["lower"] + DDPM.gamma(at["s"], t) ** 2 * scale * 0.0085
    assert at["sigma_sq"] == pytest.approx(expected, rel=1e-12)
    scalar = rows["mle_scalar", 5, t]
    assert scalar["v"] == scalar["v_low"] == scalar["v_high"] == pytest.approx(0.01, rel=1e-12)


def test_steps_and_passes():
    """One pass a step serves all variants; many jumps are thinned, from the first to the last."""
    edges = variances.some_edges(TRAJECTORIES[100])
    assert len(edges) <= variances.STEPS and edges[0] == (1, 2) and edges[-1] == (99, 100)
    assert all((s, t) == (t - 1, t) for s, t in edges)
    assert variances.some_edges(TRAJECTORIES[5]) == list(
        zip(TRAJECTORIES[5][:-1], TRAJECTORIES[5][1:], strict=True)
    )
    rows, _, passes = measured(["beta_tilde", "beta", "zero"])
    steps = {t for _, _, t in rows} | set(variances.looked_at(MADE))
    assert passes == variances.IMAGES * len(steps)


def test_the_steps_that_are_looked_at():
    """The ratio of noise to signal of each is the nearest of all steps to the one wanted."""
    made = schedule.make("linear", 1000)
    steps = variances.looked_at(made)
    for step, wanted in zip(steps, variances.RATIOS, strict=True):
        ratios = np.sqrt((1 - made.alpha_bar[1:]) / made.alpha_bar[1:])
        assert abs(ratios[step - 1] / wanted - 1) < 0.02


@pytest.fixture
def bright():
    """The name of a variant in pixels that depends on x_t, v = x̂_0², known to this test alone."""

    class Bright(Variant):
        name = "bright"
        assumes = "perfect mean"
        conditional = True

        def spectrum(self, seen):
            return seen.x0_hat**2

    yield Bright.name
    del covariance.VARIANTS[Bright.name]


def test_maps(bright):
    """The map of a variant is its Σ_0 over the first image."""
    data = make_data()
    _, arrays, _ = measured([bright], None, data)
    steps = [int(t) for t in arrays["t"]]
    assert steps == variances.looked_at(MADE)
    x_0 = data.to_float(data.test[:1]).reshape(data.shape)
    for line, t in enumerate(steps):
        x_t, x0_hat = arrays["x_t"][line], arrays["x0_hat"][line]
        expected = np.clip(x_t * (1 - 0.5 * MADE.noise[t]) / MADE.signal[t], -1, 1)
        np.testing.assert_allclose(x0_hat, expected, rtol=1e-12)
        np.testing.assert_allclose(arrays["error_sq"][line], (x_0 - x0_hat) ** 2, rtol=1e-9)
        scale = MADE.noise_sq[t] / MADE.alpha_bar[t]
        found = arrays[f"map {bright}"][line]
        np.testing.assert_allclose(found, np.minimum(scale * x0_hat**2, 1.0), rtol=1e-9)


def test_spectra():
    """A spectrum is the moment; the energies sum to ‖x_0 − x̂_0‖², which no rotation changes."""
    spectrum = np.tile(np.linspace(0.01, 0.16, 16) / 10, (101, 1))
    moments = {"error_dct": spectrum, "error_colours": np.ones((101, 1, 1))}
    data = make_data()
    _, arrays, _ = measured(["mle_dct"], moments, data)
    x_0 = data.to_float(data.test[: variances.IMAGES])
    for line, t in enumerate(variances.looked_at(MADE)):
        np.testing.assert_allclose(arrays["spectrum mle_dct"][line].ravel(), spectrum[0], rtol=1e-9)
        eps = noise.normal((0, "toy", "bound", t), 0, len(x_0), data.dim)
        x_t = MADE.signal[t] * x_0 + MADE.noise[t] * eps
        x0_hat = np.clip(x_t * (1 - 0.5 * MADE.noise[t]) / MADE.signal[t], -1, 1)
        total = ((x_0 - x0_hat) ** 2).sum(1).mean() * MADE.alpha_bar[t] / MADE.noise_sq[t]
        assert arrays["energy mle_dct"][line].sum() == pytest.approx(total, rel=1e-9)


def test_vectors_have_no_maps():
    random = np.random.default_rng(0)
    points = random.normal(size=(30, 2, 1, 1))
    data = Data("toy", points, points, None, None, None, "")
    rows, arrays, _ = measured(["beta"], None, data)
    assert rows and not arrays
