"""What one decides by: the best row of each column, and how many are as good."""

import pandas

from bench.report import best, tables

ROW = {"setting": "toy", "process": "ddpm", "trajectory": "even"}


def cells(metric, values, K=10, **others):
    """Rows of cells.csv, a value for each variant."""
    rows = [{**ROW, "metric": metric, "K": K, "variant": v, "value": x} for v, x in values.items()]
    return pandas.DataFrame(rows).assign(**others)


def rows(text):
    """The rows of a Markdown table as lists of texts."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_best_of_each_metric_process_and_trajectory():
    """Rows of a metric stand together; of recall the highest is the best."""
    frame = pandas.concat(
        [
            cells("nll_bpd", {"npr": 3.5, "sn": 4.0}),
            cells("nll_bpd", {"npr": 3.25}, K=50),
            cells("recall", {"npr": 0.25, "sn": 0.5}),
            cells("nll_bpd", {"beta": 2.5}, trajectory="optimal"),
        ],
        ignore_index=True,
    )
    head, _, *lines = rows(best.markdown(frame, pandas.DataFrame(columns=tables.PAIRED)))
    assert head == ["setting", "metric", "process", "trajectory", "K = 10", "K = 50"]
    assert lines == [
        ["toy", "NLL bound", "ddpm", "even", "**npr** 3.500 (?)", "**npr** 3.250"],
        ["toy", "NLL bound", "ddpm", "optimal", "**beta** 2.500", ""],
        ["toy", "Recall", "ddpm", "even", "**sn** 0.5000 (?)", ""],
    ]


def test_rows_that_cannot_be_told_apart_are_counted():
    """Differences of 1 with standard errors of 0.6 and 0.5 are 1.7 and 2 errors away from 0."""
    frame = cells("fid", {"npr": 3.0, "sn": 4.0, "beta": 4.0})
    key = {**ROW, "metric": "fid", "K": 10, "best": "npr"}
    pairs = pandas.DataFrame(
        [
            {**key, "variant": "npr", "difference": 0.0, "stderr": 0.0},
            {**key, "variant": "sn", "difference": 1.0, "stderr": 0.6},
            {**key, "variant": "beta", "difference": 1.0, "stderr": 0.5},
            {**key, "K": 50, "variant": "beta", "difference": 0.1, "stderr": 0.5},
        ]
    )
    assert rows(best.markdown(frame, pairs))[2][-1] == "**npr** 3.00 (1)"
    sure = pairs[pairs.variant != "sn"]
    assert rows(best.markdown(frame, sure))[2][-1] == "**npr** 3.00"


def test_what_was_not_finite_is_not_the_best():
    frame = cells("fid", {"npr": float("nan"), "sn": 4.0})
    assert rows(best.markdown(frame, pandas.DataFrame()))[2][-1] == "**sn** 4.00 (?)"
    empty = best.markdown(frame[:1], pandas.DataFrame(columns=tables.PAIRED))
    assert len(rows(empty)) <= 2
