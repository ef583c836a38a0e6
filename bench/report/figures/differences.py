"""Which differences are real: how far each row is behind the best one, with its interval.

All rows of a process share images, noise and steps. So the standard error of a difference is
smaller than those of the two values (`bench.report.tables.paired_bounds`).
"""

import numpy as np
import pandas
from matplotlib.figure import Figure

from bench import scores
from bench.report.best import INTERVAL
from bench.report.figures import style

COLUMNS = 3  # panels of a line
ROW, LINE = 0.14, 0.65  # inches, of a row and of what a line of panels has beside its rows


def draw(pairs: pandas.DataFrame) -> Figure:
    """A line of panels for each metric and process, a panel for each of at most `COLUMNS` K: the
    fewest, where variants differ most, and the most.

    Rows are ordered. Hollow: the interval of 95 % holds 0, so the row cannot be told from the best.
    pairs: the rows of paired.csv of one setting; those of the first trajectory of a process are
    drawn.
    """
    known = np.isfinite(pairs[["difference", "stderr"]].to_numpy(float)).all(axis=1)
    pairs = pairs[known]
    if pairs.empty:
        return style.nothing("paired differences")
    lines = [block for _, block in pairs.groupby(["metric", "process"], sort=False)]
    heights = [LINE + ROW * block.variant.nunique() for block in lines]
    figure, axes = style.panels(
        len(lines), COLUMNS, sum(heights) / len(lines), height_ratios=heights
    )
    looks = style.looks(pairs.variant)
    for row, block in zip(axes, lines, strict=True):
        block = block[block.trajectory == block.trajectory.iloc[0]]
        Ks = sorted(block.K.unique())
        if len(Ks) > COLUMNS:
            Ks = [*Ks[: COLUMNS - 1], Ks[-1]]
        for axis, K in zip(row, Ks, strict=False):
            _panel(axis, block[block.K == K], looks)
        for axis in row[len(Ks) :]:
            axis.set_axis_off()
    figure.suptitle(f"{pairs.setting.iloc[0]}: behind the best, with intervals of 95 %")
    return figure


def _panel(axis, block, looks):
    """The rows of one metric, process and K, the best one above."""
    metric, first = scores.get(block.metric.iloc[0]), block.iloc[0]
    behind = -block.difference if metric.higher_is_better else block.difference
    block = block.assign(behind=behind, error=INTERVAL * block.stderr).sort_values("behind")
    scale = style.differences_scale(block.behind, block.error)
    axis.set_xscale("symlog", **scale)
    highest = (block.behind + block.error).max()
    axis.set(xlim=(-scale["linthresh"], 3 * max(highest, scale["linthresh"])))
    axis.set_ylim(len(block) - 0.4, -0.6)
    axis.set_yticks(range(len(block)), block.variant)
    for place, row in enumerate(block.itertuples()):
        surely = row.behind > row.error
        axis.errorbar(
            row.behind,
            place,
            xerr=row.error,
            capsize=1.5,
            elinewidth=0.8,
            markersize=5,  # else the hollow ones look like the others
            markerfacecolor=None if surely else "white",
            **looks[row.variant],
        )
    axis.axvline(0.0, color="black", linewidth=0.6)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.grid(True, axis="x")
    axis.set(title=f"{first.process} {first.trajectory}, K = {first.K}", xlabel=metric.label)
