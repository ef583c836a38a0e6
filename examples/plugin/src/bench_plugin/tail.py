"""The NLL bound of the images that the model explains worst."""

from typing import Any

from bench.scores import Metric


class Tail(Metric):
    """The 90 % quantile of the bound over test images: a mean hides that a few images are far off.

    No standard error: that of a quantile needs more images than small settings have.
    """

    name, needs, column = "nll_tail", ("bound",), "nll_bpd"
    title, unit = "NLL bound of the worst tenth", "bits/dim"
    label = "90 % quantile of the NLL bound (bits/dim)"
    digits = 3

    def compute(self, bounds: Any) -> tuple[float, None]:
        return bounds.values.quantile(0.9), None
