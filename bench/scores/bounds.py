"""What a metric of the bound is computed from."""

from dataclasses import dataclass

import pandas


@dataclass(frozen=True)
class Bounds:
    """The bounds of a cell's images, for a metric that needs the bound.

    values: one for each image, in the unit of the metric's `column`; exact: −log p(x) of the same
    images in nats, or None if the law of the data is not known.
    """

    values: pandas.Series
    exact: pandas.Series | None = None
