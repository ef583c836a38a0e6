"""Metrics: the scores of the tables, one small class each.

To add a metric, put a file with a subclass of `Metric` into this folder and its name into `metrics`
of params.yaml. Stages, tables, figures and tracking look it up in this registry. A metric may also
live elsewhere: as an entry point of the group `bench.metrics`, or as `package.module:Class` in
`metrics`.

The configuration imports every metric. So import torch inside `compute`: it takes seconds.
"""

from typing import Any

from bench.runtime import plugins
from bench.runtime.errors import BenchError, shown, unknown

METRICS = {}
NEEDS = ("bound", "features", "features of the reference", "logits", "law")
# They hold no metric, and most import torch.
HELPERS = (
    "bounds",
    "extractors",
    "fidelity",
    "frechet",
    "law",
    "neighbours",
    "reference",
    "report",
    "samples",
)


class Metric:
    """A score of a cell. Subclasses set the attributes and define `compute`."""

    name: str | None = None  # in the column `metric` of cells.csv
    group: str | None = None  # in `metrics` and of its figure; the name, unless several share one
    title: str = ""  # of its blocks in table1.md
    label: str = ""  # of its axis in figures, with the unit
    unit: str = ""
    higher_is_better: bool = False
    needs: tuple[str, ...] = ("features",)  # of `NEEDS`: what `compute` reads
    column: str | None = None  # of bound.parquet, if it needs the bound
    resizing: str | None = None  # of the images, by the extractor; None is the extractor's own
    extractor: str | None = None  # the only one that it is defined for, if there is one
    power: int | None = None  # of a solver's error as which it goes to 0; None if it does not
    digits: int | None = None  # printed behind the point; None: as many as the size asks for
    version: int = 1  # goes up when its numbers change: then they are computed again

    def __init_subclass__(cls) -> None:
        if "name" not in cls.__dict__:
            return  # what several metrics share
        cls.group = cls.__dict__.get("group") or cls.name
        if not cls.title:
            raise BenchError(f"metric {cls.name!r} ({cls.where()}): title: missing")
        for need in cls.needs:
            if need not in NEEDS:
                raise BenchError(f"metric {cls.name!r}: needs: {unknown('need', need, NEEDS)}")
        if ("bound" in cls.needs) != (cls.column is not None):
            raise BenchError(
                f"metric {cls.name!r}: column: expected a column of bound.parquet if it needs the "
                f"bound, and none if not, found {cls.column!r}"
            )
        other = METRICS.get(cls.name)
        if other is not None and other.where() != cls.where():
            raise BenchError(
                f"metric {cls.name!r} is defined twice, by {other.where()} and {cls.where()}; "
                "expected another name"
            )
        METRICS[cls.name] = cls()

    @classmethod
    def where(cls) -> str:
        """`package.module:Class`"""
        return f"{cls.__module__}:{cls.__qualname__}"

    @property
    def heading(self) -> str:
        """The title, with unit and the better way in brackets."""
        better = "higher is better" if self.higher_is_better else "lower is better"
        return f"{self.title} ({self.unit}, {better})" if self.unit else f"{self.title} ({better})"

    def best(self, values: Any) -> Any:
        """The label of the best of a pandas.Series of values; None if none of them is a number."""
        if values.isna().all():
            return None
        return values.idxmax() if self.higher_is_better else values.idxmin()

    def digits_of(self, value: float) -> int:
        """How many digits of `value` and of its standard error are printed behind the point."""
        if self.digits is not None:
            return self.digits
        if value >= 10:
            return 1
        return 2 if value >= 1 else 4

    def value(self, seen: Any) -> tuple[float, float | None]:
        """What `compute` returns. BenchError unless that is a pair."""
        pair = self.compute(seen)
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise BenchError(
                f"metric {self.name!r} ({self.where()}): compute: expected a value and its "
                f"standard error or None, found {shown(pair)}"
            )
        return pair

    def compute(self, seen: Any) -> tuple[float, float | None]:
        """(value, its standard error or None) of one cell.

        seen: a `bench.scores.bounds.Bounds` if the metric needs the bound, else a
        `bench.scores.samples.Samples`.
        """
        raise NotImplementedError

    def replicates(self, seen: Any) -> list[float] | None:
        """The metric of resamples of a cell's images, for paired differences; None if it has none.

        The k-th replicate of every cell is of the same images, as their numbers go. seen: as for
        `compute`.
        """
        return None


plugins.import_folder(__name__, __path__, HELPERS)


def get(name: str) -> Metric:
    """The metric called `name` in cells.csv; BenchError for an unknown one."""
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]


def in_group(group: str) -> list[Metric]:
    """The metrics of a group: one for most, `nll` has one for bits/dim and one for nats."""
    return [metric for metric in METRICS.values() if metric.group == group]


def find(entry: str) -> list[Metric]:
    """The metrics that an entry of `metrics` in the configuration stands for.

    entry: a group, the name of an entry point of `bench.metrics`, or `package.module:Class`, which
    is imported. BenchError for an unknown one.
    """
    metrics = in_group(entry)
    if metrics:
        return metrics
    groups = [metric.group for metric in METRICS.values()]
    metric = plugins.load("metric", "bench.metrics", Metric, entry, groups)
    if metric.name is None:
        raise BenchError(f"metric {entry!r}: expected a class that has a name, found none")
    return in_group(metric.group)
