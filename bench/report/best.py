"""What one decides by: the best row of each process at each K, and how many rows are as good.

A row is as good as the best one if the interval of 95 % of their paired difference holds 0. Only
metrics with paired differences tell, see paired.csv.
"""

import pandas

from bench import scores

INTERVAL = 1.96  # standard errors, of a normal variable in 95 % of cases
BLOCK = ["setting", "metric", "process", "trajectory"]
TITLE = "## Which row is best"
LEGEND = (
    "In brackets how many other rows are as good: their paired difference from the best one is 0 "
    "within\n1.96 standard errors. Without brackets none is. (?): differences are not known."
)


def markdown(cells: pandas.DataFrame, pairs: pandas.DataFrame) -> str:
    """A table with a row for each setting, metric, process and trajectory, and a column for each K.

    cells, pairs: the frames of cells.csv and paired.csv.
    """
    rows, order = [], {key: list(cells[key].unique()) for key in BLOCK}
    for (*block, K), column in cells.groupby([*BLOCK, "K"], sort=False):
        metric = scores.get(block[1])
        place = metric.best(column.value)
        if place is None:
            continue
        best = column.loc[place]
        text = f"**{best.variant}** {best.value:.{metric.digits_of(best.value)}f}"
        equals = _as_good(pairs, dict(zip([*BLOCK, "K"], (*block, K), strict=True)))
        if len(column) == 1:
            equals = 0  # nothing to compare with
        rows.append((*block, f"K = {K}", text + (f" ({equals})" if equals else "")))
    frame = pandas.DataFrame(rows, columns=[*BLOCK, "K", "text"])
    wide = frame.pivot(index=BLOCK, columns="K", values="text")
    lines = sorted(wide.index, key=lambda line: _places(order, line))
    columns = [f"K = {K}" for K in sorted(cells.K.unique())]
    table = wide.reindex(index=lines, columns=columns).fillna("").reset_index()
    table["metric"] = [scores.get(name).title for name in table.metric]
    return f"{TITLE}\n\n{LEGEND}\n\n{table.to_markdown(index=False, disable_numparse=True)}\n"


def _places(order, line):
    """Where the names of a line stand among those of each column of `BLOCK`."""
    return [order[key].index(name) for key, name in zip(BLOCK, line, strict=True)]


def _as_good(pairs, column):
    """How many rows of a column cannot be told from its best one; '?' if that is not known."""
    if pairs.empty:
        return "?"
    same = pairs[(pairs[list(column)] == pandas.Series(column)).all(axis=1)]
    if same.empty:
        return "?"
    others = same[same.variant != same.best]
    return int((others.difference.abs() <= INTERVAL * others.stderr).sum())
