"""Moments against closed forms: for ε̂ = k x_t they are polynomials of E[x_0] and E[x_0²]."""

import numpy as np
import pytest
import torch

from bench import moments, schedule

STEPS = 30
DRAWS = 400


@pytest.fixture
def estimated(linear_model, data):
    return moments.estimate(linear_model, data, schedule.make("linear", STEPS), DRAWS, (0, "test"))


def test_closed_forms_within_four_standard_errors(estimated, linear_model, data):
    made, k = schedule.make("linear", STEPS), linear_model.k
    x_0 = data.to_float(data.train)
    mean, square = x_0.mean(axis=0), (x_0**2).mean(axis=0)
    a2, b = made.alpha_bar[1:, None], made.noise[1:, None]
    exact = {
        "eps_sq": k**2 * (a2 * square + b**2),
        "error_sq": (1 - k * b) ** 2 + k**2 * a2 * square,
    }
    # x̂_0 = ((1 − k b) x_t)/a: of the centred data, Var[x_0] less E(x̂_0 − E x_0)²
    shrink = 1 - k * b
    a = np.sqrt(a2)
    missed = (shrink * mean - mean) ** 2 + shrink**2 * (square - mean**2) + (shrink * b / a) ** 2
    exact["total_variance"] = a2 / b**2 * (square - mean**2 - missed)
    for name, values in exact.items():
        scaled = (estimated[name][1:] - values) / estimated[f"{name}_se"][1:]
        assert np.abs(scaled).max() < 5.5  # 480 values: P(|z| > 5.5) · 480 < 1e-4
        overall = (estimated[name][1:].mean(axis=1) - values.mean(axis=1)) / estimated[
            f"{name}_mean_se"
        ][1:]
        assert np.abs(overall).max() < 4.5 and np.sqrt((overall**2).mean()) < 1.6


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
    reached = found["eps_sq_mean_se"][1:] <= target * found["eps_sq"][1:].mean(axis=1)
    assert (reached | (draws == most)).all() and reached.any() and draws.max() > 10 * moments.FIRST
    # n draws are the first n of any larger number
    step = int(np.argmax((draws > moments.FIRST) & (draws < most))) + 1
    fixed = moments.estimate(linear_model, data, made, most, (0, "test"))
    again = moments.estimate(
        linear_model, data, made, most, (0, "test"), batch=7, relative_error=target
    )
    assert (fixed["draws"][1:] == most).all() and (again["draws"] == found["draws"]).all()
    error = np.hypot(found["eps_sq_mean_se"][step], fixed["eps_sq_mean_se"][step])
    assert abs(found["eps_sq"][step].mean() - fixed["eps_sq"][step].mean()) < 4 * error


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


def test_sums_over_batches_are_a_regression():
    """Against numpy on all draws at once, for a control that leaves 1e-5 of the spread."""
    random = np.random.default_rng(0)
    z = random.normal(size=(300, 4))
    q = 1e3 + 2 * z + 1e-5 * random.normal(size=z.shape)
    sums = moments.Controlled()
    for part in range(0, 300, 77):
        sums.add(q[part : part + 77], z[part : part + 77])
    c = ((q - q.mean(0)) * z).sum() / (z**2).sum()
    left = q - c * z
    mean, error, overall = sums.estimate()
    np.testing.assert_allclose(mean, left.mean(0), rtol=1e-13)
    np.testing.assert_allclose(
        error, left.std(0, ddof=1) / 300**0.5, rtol=1e-4
    )  # rounding of 4 z², 1e-15, against 1e-10
    np.testing.assert_allclose(overall, left.mean(1).std(ddof=1) / 300**0.5, rtol=1e-6)


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
    for quantity in moments.QUANTITIES:
        mean = whole[f"{quantity}_mean"]
        np.testing.assert_array_equal(mean[1:], whole[quantity][1:].mean(axis=1))
    some = moments.estimate(linear_model, data, chain, 10, (0, "test"), coordinates=["error_sq"])
    assert some.keys() == {"error_sq", *moments.SCALARS}
    np.testing.assert_array_equal(some["error_sq"], whole["error_sq"].astype(np.float32))
    for name in moments.SCALARS:
        np.testing.assert_array_equal(some[name], whole[name])
        assert some[name].nbytes == 8 * (chain.N + 1)
