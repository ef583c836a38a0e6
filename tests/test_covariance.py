"""Variants against the formulas of their papers, and edge costs against brute force."""

import numpy as np
import pytest

from bench import covariance, process, schedule
from bench.runtime.errors import BenchError

MADE = schedule.make("linear", 12)
DDPM = process.make("ddpm", MADE)
RANDOM = np.random.default_rng(0)
MOMENTS = {
    name: RANDOM.uniform(0.1, 0.9, size=(13, 3))
    for name in ("eps_sq", "error_sq", "x0_error_sq", "total_variance")
}
EPS_HAT, HEAD = RANDOM.normal(size=(5, 3)), RANDOM.uniform(size=(5, 3))


@pytest.mark.parametrize(
    "name, expected",
    [
        ("beta_tilde", lambda t: np.zeros((1, 1))),
        ("zero", lambda t: np.zeros((1, 1))),
        ("analytic_scalar", lambda t: [[1 - sum(MOMENTS["eps_sq"][t]) / 3]]),
        ("analytic_diagonal", lambda t: [1 - MOMENTS["eps_sq"][t]]),
        ("total_variance", lambda t: [[sum(MOMENTS["total_variance"][t]) / 3]]),
        ("mle_scalar", lambda t: [[sum(MOMENTS["error_sq"][t]) / 3]]),
        ("mle_diagonal", lambda t: [MOMENTS["error_sq"][t]]),
        ("npr", lambda t: HEAD),
        ("sn", lambda t: HEAD - EPS_HAT * EPS_HAT),
    ],
)
def test_v(name, expected):
    np.testing.assert_allclose(
        covariance.get(name).v(4, MOMENTS, EPS_HAT, HEAD), expected(4), rtol=1e-14
    )


def test_every_variant_is_tested_above():
    tested = {
        mark.args[1][index][0] for mark in test_v.pytestmark for index in range(len(mark.args[1]))
    }
    assert tested | {"beta", "improved_ddpm"} == set(covariance.VARIANTS)


def test_data_variance_is_clipped_to_the_squared_radius():
    class Shown(covariance.Variant):
        name = "shown"

        def v(self, t, moments, eps_hat, head):
            return np.array([[-1.0, 1e-3, 1e9]])

    del covariance.VARIANTS["shown"]
    found = Shown().data_variance(2, MADE, 0.5, None)
    scale = MADE.noise_sq[2] / MADE.alpha_bar[2]
    np.testing.assert_allclose(found, [[0, 1e-3 * scale, 0.25]])


def test_analytic_variance_is_the_theorem_of_the_paper():
    """Bao et al. 2022a, Theorem 1: σ² = λ² + (√(b_t²/α_{t|s}) − √(b_s² − λ²))² (1 − b_t² E‖score‖²/d)."""
    s, t = 3, 9
    scalar = covariance.get("analytic_scalar")
    for forward in (DDPM, process.make("ddim", MADE, 0.0), process.make("ddim", MADE, 0.4)):
        found = scalar.variance(forward, s, t, scalar.data_variance(t, MADE, np.inf, MOMENTS))
        lam = forward.eta**2 * MADE.beta_tilde(s, t)
        factor = (
            np.sqrt(MADE.noise_sq[t] / MADE.skip_alpha(s, t)) - np.sqrt(MADE.noise_sq[s] - lam)
        ) ** 2
        np.testing.assert_allclose(
            found, lam + factor * (1 - MOMENTS["eps_sq"][t].mean()), rtol=1e-11
        )


@pytest.mark.parametrize("s, t", [(3, 9), (1, 2), (0, 1)])
def test_improved_ddpm_is_log_linear_between_beta_tilde_and_beta(s, t):
    variant = covariance.get("improved_ddpm")
    output = np.array([[-1.0, 1.0, 0.0, 0.5]])
    u = variant.data_variance(t, MADE, 1.0, None, None, output)
    beta, tilde = MADE.skip_beta(s, t), MADE.beta_tilde(max(s, 1), max(t, 2))
    tilde = min(beta, tilde)
    expected = [
        tilde,
        beta,
        np.sqrt(beta * tilde),
        np.exp(0.75 * np.log(beta) + 0.25 * np.log(tilde)),
    ]
    np.testing.assert_allclose(variant.variance(DDPM, s, t, u)[0], expected, rtol=1e-13)


def test_beta_overrides_the_variance():
    beta = covariance.get("beta")
    assert beta.variance(DDPM, 3, 9, np.zeros((1, 1))) == MADE.skip_beta(3, 9)


def test_edge_costs():
    beta, scalar = covariance.get("beta"), covariance.get("analytic_scalar")
    F, J = beta.edge_costs(DDPM, 1.0, MOMENTS), scalar.edge_costs(DDPM, 1.0, MOMENTS)
    for t in range(2, 13):
        for s in range(1, t):
            p, q = MADE.skip_beta(s, t), MADE.beta_tilde(s, t)
            # KL of N(m, q I) from N(m', p I) with E(m − m')² = γ² E(x_0 − x̂_0)², summed over coordinates
            shift = DDPM.gamma(s, t) ** 2 * MOMENTS["x0_error_sq"][t]
            assert F[s, t] == pytest.approx(
                sum(0.5 * (np.log(p / q) + (q + shift) / p - 1)), rel=1e-10
            )
            sigma_sq = scalar.variance(DDPM, s, t, scalar.data_variance(t, MADE, 1.0, MOMENTS))
            assert J[s, t] == pytest.approx(np.log(sigma_sq.item() / q), abs=1e-12)
    assert covariance.get("npr").edge_costs(DDPM, 1.0, MOMENTS) is None


@pytest.mark.parametrize(
    "name, process_name, heads, message",
    [
        ("nrp", "ddpm", [], "unknown variant 'nrp'; did you mean 'npr'"),
        ("beta", "ddim", [], "variant 'beta' is not defined for process 'ddim'"),
        ("sn", "ddpm", ["npr"], "variant 'sn' needs the head 'sn', which is not configured"),
    ],
)
def test_check(name, process_name, heads, message):
    with pytest.raises(BenchError, match=message):
        covariance.check(name, process_name, heads)


def test_code_is_that_of_the_variants_file():
    assert covariance.code("npr") == covariance.code("sn") != covariance.code("beta")
