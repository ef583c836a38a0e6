"""Schedules against 50-digit arithmetic and against diffusers."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import schedule
from bench.runtime.errors import BenchError

mpmath.mp.dps = 50


def exact_alpha_bar(beta, s, t):
    """∏_{s<n≤t} (1 − β_n) in 50 digits."""
    return mpmath.fprod(1 - mpmath.mpf(float(b)) for b in beta[s + 1 : t + 1])


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(["linear", "cosine"]), N=st.integers(2, 4000), place=st.data())
def test_jumps_keep_their_digits(name, N, place):
    made = schedule.make(name, N)
    t = place.draw(st.integers(1, N))
    s = place.draw(st.integers(0, t - 1))
    kept = exact_alpha_bar(made.beta, s, t)
    assert float(abs(made.skip_beta(s, t) / (1 - kept) - 1)) < 1e-12
    assert float(abs(made.skip_alpha(s, t) / kept - 1)) < 1e-12
    # A jump is the same whether taken at once or in two.
    middle = place.draw(st.integers(s, t))
    assert made.skip_alpha(s, middle) * made.skip_alpha(middle, t) == pytest.approx(
        made.skip_alpha(s, t), rel=1e-12
    )


def test_derived_arrays_at_both_ends():
    made = schedule.make("linear", 1000)
    assert made.N == 1000 and made.noise_sq[0] == 0 and made.signal[0] == 1
    assert made.noise_sq[1] == pytest.approx(1e-4, rel=1e-14)
    assert made.alpha_bar[1000] == pytest.approx(
        float(exact_alpha_bar(made.beta, 0, 1000)), rel=1e-13
    )


@pytest.mark.parametrize("name, theirs", [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_agrees_with_diffusers(name, theirs):
    from bench.runtime import imports

    imports.declare_torchvision()
    from diffusers import DDPMScheduler

    betas = DDPMScheduler(
        num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule=theirs
    ).betas.numpy()
    # theirs are fp32; for cosine β near 1e-5 comes from 1 − (a ratio near 1) in fp32
    np.testing.assert_allclose(schedule.make(name, 1000).beta[1:], betas, rtol=2e-6, atol=2e-7)


def test_linear_is_rescaled_with_N():
    made = schedule.make("linear", 500)
    assert made.beta[1] == pytest.approx(2e-4) and made.beta[-1] == pytest.approx(0.04)


def test_few_steps_stay_below_one():
    assert schedule.make("linear", 10).beta.max() <= 0.999


def test_what_stands_in_for_the_last_posterior_variance():
    """q(x_1 | x_2, x_0) by Bayes' rule in precisions; in a chain of one step there is β_1 alone."""
    made = schedule.make("linear", 1000)
    precision = 1 / made.beta[1] + (1 - made.beta[2]) / made.beta[2]
    assert made.last_beta_tilde == pytest.approx(1 / precision, rel=1e-12)
    assert schedule.make("linear", 1).last_beta_tilde == pytest.approx(0.1, rel=1e-12)


def test_unknown_name_is_told_with_a_suggestion():
    with pytest.raises(BenchError, match="unknown schedule 'linea'; did you mean 'linear'"):
        schedule.make("linea", 10)
