"""FID against the bound: whether the variance that gives the better likelihood gives the better
samples (Ou et al. 2025, Figure 1).
"""

import pandas
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench import scores
from bench.report.figures import style

CELL = ["process", "trajectory", "variant", "K"]
SIZE = 3.0  # points, of the marker of the fewest steps; each further K is a point larger


def draw(cells: pandas.DataFrame) -> Figure:
    """A panel for each process that has both, a point for each variant and K.

    The points of a variant are joined in the order of K, and their size grows with K. cells: the
    rows of cells.csv of one setting. If −E log p(x) is known, it is subtracted.
    """
    bounds = [metric.name for metric in scores.in_group("nll")]
    bound = cells[cells.metric.isin(bounds)]
    both = bound.assign(nll=bound.value - bound.exact.fillna(0.0)).merge(
        cells[cells.metric == "fid"], on=CELL, suffixes=("", "_fid")
    )
    if both.empty:
        return style.nothing("cells with a bound and FID")
    looks, dashes, Ks = style.looks(both.variant), style.dashes(both), sorted(both.K.unique())
    sizes = {K: SIZE + index for index, K in enumerate(Ks)}
    processes = list(both.process.unique())
    figure, axes = style.panels(1, len(processes), 3.2)
    for axis, process in zip(axes[0], processes, strict=True):
        panel = both[both.process == process]
        for (variant, trajectory), line in panel.groupby(["variant", "trajectory"], sort=False):
            line, look = line.sort_values("K"), looks[variant]
            axis.plot(
                line.nll, line.value_fid, dashes[trajectory], color=look["color"], linewidth=0.6
            )
            for point in line.itertuples():
                axis.plot(point.nll, point.value_fid, markersize=sizes[point.K], **look)
        axis.set(title=process, xlabel=scores.get(panel.metric.iloc[0]).label)
        style.log_if_possible(axis, "x", panel.nll)
        style.log_if_possible(axis, "y", panel.value_fid)
        axis.xaxis.set_major_formatter("{x:g}")
        style.plain_numbers(axis)
    axes[0][0].set_ylabel(scores.get("fid").label)
    of_steps = [
        Line2D(
            [], [], color="black", marker="o", linestyle="", markersize=sizes[K], label=f"K = {K}"
        )
        for K in Ks
    ]
    style.legend(figure, looks, dashes, of_steps)
    figure.suptitle(str(both.setting.iloc[0]))
    return figure
