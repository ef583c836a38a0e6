"""The variational bound on −log p(x): its mean over test images, and the standard error of it."""

from bench.scores import Metric


class Bound(Metric):
    """The mean over images.

    Where −log p(x) is known, the standard error is that of the bound's excess over it: what the
    draw of test images adds to both is no error of a comparison.
    """

    title = "NLL bound"
    needs = ("bound",)
    digits = 3

    def compute(self, bounds) -> tuple[float, float]:
        """(mean, its standard error), in the unit of `bounds.values`."""
        values = bounds.values
        excess = values if bounds.exact is None else values - bounds.exact
        return values.mean(), excess.sem()


class BitsPerDimension(Bound):
    """For data with grey levels."""

    name, group, column = "nll_bpd", "nll", "nll_bpd"
    unit = "bits/dim"
    label = "NLL bound (bits/dim)"


class Nats(Bound):
    """For continuous data; figures show what lies above −E log p(x), where that is known."""

    name, group, column = "nll_nats", "nll", "nll_nats"
    unit = "nats"
    label = "NLL bound + E log p(x) (nats)"
