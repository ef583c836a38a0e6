"""Moments against closed forms: for ε̂ = k x_t they are polynomials of E[x_0] and E[x_0²]."""

import numpy as np
import pytest
import torch
from scipy import stats

from bench import moments, schedule
from bench.data.dataset import Data
from tests.helpers.models import LinearModel

STEPS = 30
DRAWS = 400


@pytest.fixture
def estimated(linear_model, data):
    return moments.estimate(linear_model, data, schedule.make("linear", STEPS), DRAWS, (0, "test"))


def closed_forms(made, k, data):
    """{quantity: (N, dim)} of steps 1..N for ε̂ = k x_t."""
    x_0 = data.to_float(data.train)
    mean, square = x_0.mean(axis=0), (x_0**2).mean(axis=0)
    a2, b = made.alpha_bar[1:, None], made.noise[1:, None]
    # x̂_0 = ((1 − k b) x_t)/a: of the centred data, Var[x_0] less E(x̂_0 − E x_0)²
    shrink = 1 - k * b
    a = np.sqrt(a2)
    missed = (shrink * mean - mean) ** 2 + shrink**2 * (square - mean**2) + (shrink * b / a) ** 2
    return {
        "eps_sq": k**2 * (a2 * square + b**2),
        "error_sq": (1 - k * b) ** 2 + k**2 * a2 * square,
        "total_variance": a2 / b**2 * (square - mean**2 - missed),
    }


def test_closed_forms_within_four_standard_errors(estimated, linear_model, data):
    made = schedule.make("linear", STEPS)
    for name, values in closed_forms(made, linear_model.k, data).items():
        scaled = (estimated[name][1:] - values) / estimated[f"{name}_se"][1:]
        assert np.abs(scaled).max() < 5.5  # 480 values: P(|z| > 5.5) · 480 < 1e-4
        overall = estimated[f"{name}_mean"][1:] - values.mean(axis=1)
        overall /= estimated[f"{name}_mean_se"][1:]
        assert np.abs(overall).max() < 4.5 and np.sqrt((overall**2).mean()) < 1.6


def test_total_variance_is_no_smaller_for_few_draws(data, linear_model):
    """With E x_0 from the M draws themselves its expectation would be off by −(2/M) a²/b² Cov[x_0,
    x_0 − x̂_0], where x_0 − x̂_0 = k b x_0 + …
    """
    made, draws, sets, k = schedule.make("linear", 3), 20, 300, linear_model.k
    found = [
        moments.estimate(linear_model, data, made, draws, (part, "test"))["total_variance_mean"][1:]
        for part in range(sets)
    ]
    exact = closed_forms(made, k, data)["total_variance"].mean(axis=1)
    stderr = np.std(found, axis=0, ddof=1) / sets**0.5
    off = 2 / draws * made.alpha_bar[1:] / made.noise[1:] * k
    off *= data.to_float(data.train).var(axis=0).mean()
    assert (np.abs(np.mean(found, axis=0) - exact) < 4 * stderr).all()
    assert off[0] > 10 * stderr[0]  # at t = 1


class Flipped(LinearModel):
    """ε̂ = k x_t with the coordinates in reverse: each one's noise is that of another's ε̂."""

    def __call__(self, x_t, t):
        return super().__call__(x_t.flip(1), t)


def test_a_mean_over_coordinates_has_a_coefficient_of_its_own(data):
    """At t = N, ‖ε̂‖² is nearly k²‖ε‖², but ε̂_i² knows nothing of ε_i².

    And its standard error is honest: over many sets (value − exact)/error deviates as Student's t.
    """
    made, draws, sets, last = schedule.make("linear", 3), 20, 400, 3
    model, plain = Flipped(), 0.25 * np.sqrt(2 / (draws * data.dim))  # k² √(2/(M d))
    found = [moments.estimate(model, data, made, draws, (part, "test")) for part in range(sets)]
    error = np.array([one["eps_sq_mean_se"][last] for one in found])
    by_coordinate = np.array([one["eps_sq"][last].mean() for one in found])
    assert error.max() < 0.1 * plain < 0.9 * plain < by_coordinate.std()
    exact = closed_forms(made, model.k, data)["eps_sq"].mean(axis=1)
    for t in (1, 2, last):
        values, errors = (
            np.array([one[name][t] for one in found]) for name in ("eps_sq_mean", "eps_sq_mean_se")
        )
        freedom = draws - 2
        _, variance, _, excess = stats.t.stats(freedom, moments="mvsk")
        allowed = 4 * variance * np.sqrt((excess + 2) / sets)  # of the mean of so many squares
        assert (((values - exact[t - 1]) / errors) ** 2).mean() == pytest.approx(
            variance, abs=allowed
        )


@pytest.mark.parametrize("t", [1, 6])
def test_last_term_is_an_integral_over_the_noise(data, linear_model, t):
    """ε̂ = k x_t acts on each coordinate alone, so its expectation is one integral a level."""
    made = schedule.make("linear", 10)
    sigma = np.sqrt(made.beta_tilde(1, 2)) if t == 1 else made.noise[t]
    values, eps = np.linspace(-1, 1, data.levels)[:, None], np.linspace(-8, 8, 4001)
    x0_hat = (1 - linear_model.k * made.noise[t]) * (values + made.noise[t] / made.signal[t] * eps)
    x0_hat, half = x0_hat.clip(-1, 1), 1 / (data.levels - 1)
    upper = np.where(values + half > 1, np.inf, values + half)
    lower = np.where(values - half < -1, -np.inf, values - half)
    nats = -np.log(stats.norm.cdf(upper, x0_hat, sigma) - stats.norm.cdf(lower, x0_hat, sigma))
    weights = stats.norm.pdf(eps) / stats.norm.pdf(eps).sum()
    mean, square = nats @ weights, nats**2 @ weights
    of_images = mean[data.train].mean(axis=(1, 2, 3))
    noise_sq = (square - mean**2)[data.train].mean() / data.dim
    stderr = np.sqrt((of_images.var() + noise_sq) / DRAWS)
    found = moments.estimate(linear_model, data, made, DRAWS, (0, "test"))["last_term_mean"][t]
    assert abs(found - of_images.mean()) < 4 * stderr < 0.1 * of_images.mean()


def test_last_term_of_continuous_data_is_a_density(linear_model):
    random = np.random.default_rng(0).normal(size=(40, 3, 1, 1))
    vectors = Data("vectors", random, random, None, None, None, "0" * 16)
    made = schedule.make("linear", 5)
    found = moments.estimate(linear_model, vectors, made, 50, (0, "test"))
    error_sq, variance = found["x0_error_sq"][1:], made.noise_sq[1:, None]
    nats = 0.5 * np.log(2 * np.pi * variance) + 0.5 * error_sq / variance
    np.testing.assert_allclose(found["last_term"][1:], nats, rtol=1e-12)


def test_control_variate_leaves_less_than_the_plain_variance(estimated):
    # At t = N, ε̂ = k x_t ≈ k ε: the plain estimate of E[ε̂²] has standard error k² √(2/M).
    assert estimated["eps_sq_se"][STEPS].mean() < 0.5 * 0.25 * np.sqrt(2 / DRAWS)


def test_one_pass_a_draw_and_step_and_no_dependence_on_the_batch(data, linear_model):
    made = schedule.make("cosine", 5)
    whole = moments.estimate(linear_model, data, made, 10, (0, "test"))
    assert linear_model.rows == 5 * 10
    parts = moments.estimate(linear_model, data, made, 10, (0, "test"), batch=3)
    for name in whole:
        # A standard error is of what the regression leaves: at the last step 1e-9 of the sums.
        np.testing.assert_allclose(
            parts[name], whole[name], rtol=1e-6 if name.endswith("_se") else 1e-12, atol=1e-14
        )


def test_draws_end_where_the_standard_error_is_small_enough(data, linear_model):
    """For ε̂ = k x_t what the control variate leaves is the data's part, which a_t² scales down:
    least at t = N.
    """
    made, target, most = schedule.make("linear", STEPS), 0.004, 3000
    found = moments.estimate(linear_model, data, made, most, (0, "test"), relative_error=target)
    draws = found["draws"][1:]
    assert (
        linear_model.rows == draws.sum()
        and (draws >= moments.FIRST).all()
        and draws[-1] == moments.FIRST
    )
    reached = found["eps_sq_mean_se"][1:] <= target * found["eps_sq_mean"][1:]
    assert (reached | (draws == most)).all() and reached.any() and draws.max() > 10 * moments.FIRST
    # n draws are the first n of any larger number
    step = int(np.argmax((draws > moments.FIRST) & (draws < most))) + 1
    fixed = moments.estimate(linear_model, data, made, most, (0, "test"))
    again = moments.estimate(
        linear_model, data, made, most, (0, "test"), batch=7, relative_error=target
    )
    assert (fixed["draws"][1:] == most).all() and (again["draws"] == found["draws"]).all()
    error = np.hypot(found["eps_sq_mean_se"][step], fixed["eps_sq_mean_se"][step])
    assert abs(found["eps_sq_mean"][step] - fixed["eps_sq_mean"][step]) < 4 * error


def test_no_more_draws_than_the_standard_error_asks_for():
    """Against the law it falls by: n draws of spread s have an error of s/√n, so n s²/(r m)² of
    them reach r m.
    """
    random = np.random.default_rng(1)
    q = 10 + random.normal(size=(400, 5))
    sums = moments.Controlled()
    sums.add(q, np.zeros(5))
    spread = q.mean(axis=1).std(ddof=1)
    assert moments.draws_needed(400, sums, 1e-3) == np.ceil((spread / (1e-3 * q.mean())) ** 2)


@pytest.mark.parametrize("draws", [1, 5])
def test_fewer_draws_than_a_standard_error_is_looked_at_after(data, linear_model, draws):
    found = moments.estimate(
        linear_model, data, schedule.make("linear", 3), draws, (0, "test"), relative_error=0.5
    )
    assert (found["draws"][1:] == draws).all() and found["draws"][0] == 0


def test_a_single_draw_has_no_error(data, linear_model):
    found = moments.estimate(linear_model, data, schedule.make("linear", 3), 1, (0, "test"))
    assert np.isfinite(found["eps_sq"][1:]).all() and np.isnan(found["eps_sq_se"]).all()
    assert np.isnan(found["total_variance_mean_se"]).all()


@pytest.fixture
def regressed():
    """Draws of q, of a control z that leaves 1e-5 of its spread, and their sums over batches."""
    random = np.random.default_rng(0)
    z = random.normal(size=(300, 4))
    q = 1e3 + 2 * z + 1e-5 * random.normal(size=z.shape)
    sums = moments.Controlled()
    for part in range(0, 300, 77):
        sums.add(q[part : part + 77], z[part : part + 77])
    return q, z, sums


def test_sums_over_batches_are_a_regression(regressed):
    """Against numpy on all draws at once."""
    q, z, sums = regressed
    c = ((q - q.mean(0)) * z).sum() / (z**2).sum()
    left = q - c * z
    mean, error = sums.of_coordinates()
    np.testing.assert_allclose(mean, left.mean(0), rtol=1e-13)
    np.testing.assert_allclose(
        error, left.std(0, ddof=1) / 300**0.5, rtol=1e-4
    )  # rounding of 4 z², 1e-15, against 1e-10


def test_the_mean_over_coordinates_is_an_intercept(regressed):
    """Against scipy; from few draws, against the regression of all coordinates."""
    q, z, sums = regressed
    line = stats.linregress(z.mean(axis=1), q.mean(axis=1))
    mean, error = sums.of_their_mean()
    assert mean == pytest.approx(line.intercept, rel=1e-13)
    # scipy has 1 − r² of r: its rounding, 1e-16, against 2.5e-11
    assert error == pytest.approx(line.intercept_stderr, rel=1e-4)
    few = moments.Controlled()
    few.add(q[: moments.FIRST - 1], z[: moments.FIRST - 1])
    assert few.of_their_mean()[0] == pytest.approx(few.of_coordinates()[0].mean(), rel=1e-13)


def test_clipped_prediction(data):
    class Wild:
        device = torch.device("cpu")

        def __call__(self, x_t, t):
            return -1000 + 0 * x_t, None

    found = moments.estimate(Wild(), data, schedule.make("linear", 3), 50, (0, "test"))
    assert (found["x0_hat"][1:] == 1).all() and (found["x0_hat_sq"][1:] == 1).all()
    assert np.isnan(found["eps_sq"][0]).all()


def test_only_what_is_asked_for_is_kept_of_each_coordinate(data, linear_model):
    chain = schedule.make("linear", 5)
    whole = moments.estimate(linear_model, data, chain, 10, (0, "test"))
    some = moments.estimate(linear_model, data, chain, 10, (0, "test"), coordinates=["error_sq"])
    assert some.keys() == {"error_sq", *moments.SCALARS}
    np.testing.assert_array_equal(some["error_sq"], whole["error_sq"].astype(np.float32))
    for name in moments.SCALARS:
        np.testing.assert_array_equal(some[name], whole[name])
        assert some[name].nbytes == 8 * (chain.N + 1)
