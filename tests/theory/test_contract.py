"""Every variant keeps the contract of `bench.theory.contract`, and a variant that breaks it is
found.
"""

import itertools

import numpy as np
import pytest

from bench import covariance
from bench.covariance import Head, Variant, squared_error
from bench.runtime.errors import BenchError
from bench.theory import contract

pytestmark = pytest.mark.xdist_group("contract")  # they share what takes seconds to make


@pytest.mark.parametrize(
    "name", [*covariance.VARIANTS, "mle_rank-1", "lanczos-1", "jump_at-5", "mle_share-25"]
)
def test_every_variant_keeps_the_contract(name):
    rows = contract.check(name)
    assert len(rows) >= 6 and [row["claim"] for row in rows if not row["verdict"]] == []
    assert all(row.keys() == rows[0].keys() for row in rows)


def test_a_rank_that_the_data_of_the_check_do_not_have():
    message = (
        "variant 'mle_rank-16' cannot be checked: the data of the check have 2 dimensions, and it "
        "is not for these .*a rank from 1 to 1, found 16.; check another number: mle_rank-1$"
    )
    with pytest.raises(BenchError, match=message):
        contract.check("mle_rank-16")
    assert all(row["verdict"] for row in contract.check("lanczos-16"))


class Wrong(Variant):
    """A variant to break in one way at a time."""

    source = "nobody"


@pytest.fixture
def broken(registry):
    """Claims that do not hold of a variant with these attributes and methods."""

    def claims(**members):
        type("Broken", (Wrong,), {"name": "broken", **members})
        rows = contract.check("broken")
        return "; ".join(row["claim"] for row in rows if not row["verdict"])

    return claims


def test_values_that_are_wrong(broken):
    half = {"moments": ("eps_sq_mean",), "assumes": "perfect mean"}
    missed = broken(spectrum=lambda self, seen: 0.9 * (1 - seen.moments["eps_sq_mean"]), **half)
    assert "v is E[(ε − ε̂)²] at t = 10, imperfection 0" in missed


def test_a_conditional_value_that_is_wrong_on_average(broken):
    """1 − ε̂² keeps the contract, as the variant `heuristic`; half of it has the right range."""
    missed = broken(
        assumes="perfect mean",
        conditional=True,
        spectrum=lambda self, seen: (1 - seen.eps_hat**2) / 2,
    )
    assert missed.count("on average") == 2 and "at t = 2, one round Gaussian" in missed


def test_shape_range_determinism_and_batch(broken):
    calls = itertools.count(1)
    assert "has another shape" in broken(spectrum=lambda self, seen: np.ones(3))
    of_images = broken(spectrum=lambda self, seen: seen.eps_hat.numpy() ** 2)  # not `conditional`
    assert "has another shape" in of_images
    assert "is another number" in broken(spectrum=lambda self, seen: 0.01 / next(calls))
    below = broken(reverse_variance=lambda self, process, s, seen: np.full((1, 1), 1e-9))
    assert "is below λ²" in below
    above = broken(
        assumes="perfect mean",
        reverse_variance=lambda self, process, s, seen: np.full((1, 1), 1e3),
        spectrum=lambda self, seen: 1.0,
    )
    assert "is above what the range" in above
    together = broken(
        conditional=True, spectrum=lambda self, seen: abs(seen.eps_hat - seen.eps_hat.mean(0))
    )
    assert "alone in its batch" in together


@pytest.mark.parametrize(
    "v, missed",
    [
        (-5.0, "v is nowhere in [0, 1]"),
        (1e9, "v is nowhere in [0, 1]"),
        (np.inf, "σ² of unbounded data is negative or not finite"),
    ],
)
def test_nonsense_of_a_variant_that_assumes_nothing(broken, v, missed):
    assert missed in broken(spectrum=lambda self, seen: v)


def test_what_a_variant_that_assumes_nothing_promises(broken):
    """σ² itself may not be negative or above that of any data; one number is that of any batch."""
    below = broken(reverse_variance=lambda self, process, s, seen: np.full((1, 1), -1.0))
    assert "σ² of unbounded data is negative or not finite" in below
    above = broken(reverse_variance=lambda self, process, s, seen: np.full((1, 1), 1e3))
    assert "is above what the range" in above
    one_number = broken(spectrum=lambda self, seen: float(seen.eps_hat.square().mean()))
    assert "alone in its batch" in one_number


def test_a_head_that_learns_another_thing(broken):
    missed = broken(
        assumes="imperfect mean",
        conditional=True,
        head=Head(),
        loss=lambda self, batch, output: squared_error(output, batch.eps),
        spectrum=lambda self, seen: seen.head,
    )
    assert "R² of v" in missed


@pytest.mark.parametrize(
    "loss, shape",
    [
        (lambda self, batch, output: (output - batch.eps).square(), r"\(512, 2\)"),
        (lambda self, batch, output: (output - batch.eps).square().sum(1, True), r"\(512, 1\)"),
        (lambda self, batch, output: (output - batch.eps).square().mean(), r"\(\)"),
    ],
)
def test_a_loss_that_is_not_a_number_for_each_row(broken, loss, shape):
    """Broadcast with the weights of rows, it would train on each row with those of all."""
    learned = {"conditional": True, "head": Head(), "loss": loss}
    message = f"variant 'broken': loss: found the shape {shape}, expected .512,., a number for each"
    with pytest.raises(BenchError, match=message):
        broken(spectrum=lambda self, seen: seen.head, **learned)


def test_a_jacobian_that_is_not_announced(broken):
    """Training and sampling make none, unless `products` says so."""
    message = "variant 'broken': loss: reads batch.jacobian; expected `Head.products=1.`"
    with pytest.raises(BenchError, match=message):
        broken(
            conditional=True,
            head=Head(),
            loss=lambda self, batch, output: batch.jacobian.times(output.double()).sum(1),
            spectrum=lambda self, seen: seen.head,
        )
    with pytest.raises(BenchError, match="variant 'broken' reads seen.jacobian; expected a method"):
        broken(
            conditional=True,
            spectrum=lambda self, seen: seen.jacobian.times(
                seen.eps_hat.new_ones(seen.eps_hat.shape)
            ),
        )


def test_a_moment_that_is_not_listed(broken):
    with pytest.raises(BenchError, match="reads the moment 'error_sq_mean'"):
        broken(spectrum=lambda self, seen: seen.moments["error_sq_mean"])
