"""The variant `my_variant`: its formula on numbers, and the contract of a variant."""

import numpy as np
import pytest

from bench import covariance, schedule
from bench.covariance import MomentsAt, Seen
from bench.theory import contract

VARIANT = covariance.get("my_variant")
LINEAR = schedule.make("linear", N=10)


def test_the_formula():
    """E‖ε − ε̂‖²/d is 0.25 at step 3, and so is v; Σ_0 is b²/a² of it."""
    t = 3
    moments = {"error_sq_mean": np.array([0, 0.5, 0.375, 0.25])}  # of the steps 0 to 3
    seen = Seen(t, LINEAR, moments=MomentsAt(moments, t, VARIANT))
    assert VARIANT.spectrum(seen) == 0.25
    a_sq = LINEAR.alpha_bar[t]
    assert VARIANT.estimate(seen).item() == pytest.approx(0.25 * (1 - a_sq) / a_sq)


def test_it_keeps_the_contract():
    """Every claim of `bench check variant` holds, on a mixture with a known answer."""
    rows = contract.check(VARIANT.name)
    assert [row["claim"] for row in rows if not row["verdict"]] == []
