"""The variational bound on −log p(x): its mean over test images, and the standard error of it."""

from typing import Any

from bench.scores import Metric


class Bound(Metric):
    """The mean over images.

    If −log p(x) is known, the standard error is that of the bound's excess over it: what the draw
    of test images adds to both is no error of a comparison.
    """

    title = "NLL bound"
    needs = ("bound",)
    digits = 3

    def compute(self, bounds: Any) -> tuple[float, float]:
        """(mean, its standard error), in the unit of `bounds.values`.

        bounds: a `bench.scores.bounds.Bounds`.
        """
        values = bounds.values
        excess = values if bounds.exact is None else values - bounds.exact
        return values.mean(), excess.sem()


class BitsPerDimension(Bound):
    """For data with grey levels."""

    name, group, column = "nll_bpd", "nll", "nll_bpd"
    unit = "bits/dim"
    label = "NLL bound (bits/dim)"


class Nats(Bound):
    """For continuous data; figures show the excess over −E log p(x), if that is known."""

    name, group, column = "nll_nats", "nll", "nll_nats"
    unit = "nats"
    label = "NLL bound + E log p(x) (nats)"
