"""Processes against Bayes' rule on the joint Gaussian, and against their defining properties."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import process, schedule

mpmath.mp.dps = 50
SCHEDULES = {
    (name, N): schedule.make(name, N) for name in ("linear", "cosine") for N in (10, 1000, 4000)
}


@st.composite
def jumps(draw):
    made = SCHEDULES[draw(st.sampled_from(sorted(SCHEDULES)))]
    t = draw(st.integers(2, made.N))
    return made, draw(st.integers(1, t - 1)), t


@settings(max_examples=60, deadline=None)
@given(jump=jumps())
def test_ddpm_is_bayes_rule(jump):
    """q(x_s | x_t, x_0) ∝ q(x_s | x_0) q(x_t | x_s), precisions added in 50 digits."""
    made, s, t = jump
    alpha = [mpmath.fprod(1 - mpmath.mpf(float(b)) for b in made.beta[1 : n + 1]) for n in (s, t)]
    skip = alpha[1] / alpha[0]
    precision = 1 / (1 - alpha[0]) + skip / (1 - skip)
    weight_x0 = mpmath.sqrt(alpha[0]) / (1 - alpha[0]) / precision
    weight_xt = mpmath.sqrt(skip) / (1 - skip) / precision
    forward = process.make("ddpm", made)
    assert float(abs(forward.lambda_sq(s, t) * precision - 1)) < 1e-12
    assert float(abs(forward.gamma(s, t) / weight_x0 - 1)) < 1e-12
    assert float(abs(forward.carry(s, t) / made.noise[t] / weight_xt - 1)) < 1e-12


@settings(max_examples=60, deadline=None)
@given(jump=jumps(), eta=st.floats(0, 1))
def test_ddim_keeps_the_marginals(jump, eta):
    """x_s = a_s x_0 + c ε + λ ε' has variance b_s² given x_0, and γ is a_s − a_t c/b_t without its
    cancellation.
    """
    made, s, t = jump
    forward = process.make("ddim", made, eta)
    assert forward.carry(s, t) ** 2 + forward.lambda_sq(s, t) == pytest.approx(
        made.noise_sq[s], rel=1e-12
    )
    a = [
        mpmath.sqrt(mpmath.fprod(1 - mpmath.mpf(float(b)) for b in made.beta[1 : n + 1]))
        for n in (s, t)
    ]
    b2 = [1 - value**2 for value in a]
    lam = mpmath.mpf(eta) ** 2 * (1 - (a[1] / a[0]) ** 2) * b2[0] / b2[1]
    exact = a[0] - a[1] * mpmath.sqrt(b2[0] - lam) / mpmath.sqrt(b2[1])
    assert float(abs(forward.gamma(s, t) / exact - 1)) < 1e-12


def test_eta_one_is_ddpm():
    made = SCHEDULES["linear", 1000]
    ddpm, ddim = process.make("ddpm", made), process.make("ddim", made, 1.0)
    assert ddim.gamma(100, 300) == ddpm.gamma(100, 300) and ddim.lambda_sq(
        100, 300
    ) == ddpm.lambda_sq(100, 300)
    # Unclipped, x_t = a_t x̂_0 + b_t ε̂ and the two forms of the mean are one.
    x0_hat, eps_hat = 0.3, -1.2
    x_t = made.signal[300] * x0_hat + made.noise[300] * eps_hat
    assert ddpm.mean(100, 300, x_t, x0_hat, eps_hat) == pytest.approx(
        ddim.mean(100, 300, x_t, x0_hat, eps_hat), rel=1e-12
    )


def test_last_step_shows_the_prediction():
    for name in process.PROCESSES:
        forward = process.make(name, SCHEDULES["cosine", 10])
        assert forward.gamma(0, 1) == pytest.approx(1, abs=1e-15) and forward.lambda_sq(0, 1) == 0
        assert np.isclose(forward.mean(0, 1, 5.0, 0.25, 7.0), 0.25, atol=1e-15)
