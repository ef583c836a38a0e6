"""What the scoring stages write as JSON: reference.json, and the scores of a process."""

from typing import Any, NotRequired

from pydantic import ConfigDict
from typing_extensions import TypedDict

from bench.runtime.fields import Count


class Images(TypedDict):
    """A reference: the first `n` images of a `split` of the data."""

    split: str
    n: Count
    sha256: str


class Statistics(TypedDict):
    """A reference: a file of statistics."""

    statistics: str
    sha256: str


class View(TypedDict):
    """One resizing of the reference: the extractor's name, and folders of features."""

    extractor: str
    train: NotRequired[str]
    test: str


class Reference(TypedDict):
    """reference.json. views: {resizing: View}. test_images: the number of held-out images."""

    reference: Images | Statistics
    test_images: Count
    views: dict[str, View]


class Row(TypedDict):
    """The score of one metric. A row of samples also has variant, trajectory and K."""

    __pydantic_config__ = ConfigDict(extra="allow")

    metric: str
    value: float
    stderr: float | None
    extractor: str
    n: Count


class Cell(Row):
    """The score of the samples of a cell."""

    variant: str
    trajectory: str
    K: Count


class Shard(TypedDict):
    """The rows of some cells of a process, as they are, and the digest of what they follow from."""

    made_by: str
    cells: list[dict[str, Any]]


class Scores(TypedDict):
    """What is read of the scores of a process, fidelity/<process>.json."""

    __pydantic_config__ = ConfigDict(extra="allow")

    dtype: str
    reference: Images | Statistics
    test_images: list[Row]
    cells: list[Cell]
