"""A study: a line of panels for each metric and process, a panel for each group."""

import pandas
from matplotlib.figure import Figure

from bench import scores
from bench.report.figures import curves, style

CUT = 1.5  # of the values, see `draw`


def draw(summary: pandas.DataFrame, name: str) -> Figure:
    """The mean of each row against network evaluations, with its standard error.

    A metric of which less is better is cut off at `CUT` times the best value of the worst K: an
    estimate that fails would hide the others. summary: of study.csv; see
    `bench.report.studies.summarise`. name: of the study.
    """
    looks, dashes = style.looks(summary.variant), style.dashes(summary)
    groups = list(summary.group.unique())
    lines = list(dict.fromkeys(zip(summary.metric, summary.process, strict=True)))
    figure, axes = style.panels(len(lines), len(groups), 2.2, sharey="row")
    for row, (metric_name, process) in zip(axes, lines, strict=True):
        metric = scores.get(metric_name)
        of_row = summary[(summary.metric == metric_name) & (summary.process == process)]
        for axis, group in zip(row, groups, strict=True):
            panel = of_row[of_row.group == group]
            if panel.empty:
                axis.set_axis_off()
                continue
            curves.draw_rows(axis, panel, "value", "stderr", looks, dashes)
            axis.set_yscale("linear" if metric.higher_is_better else "log")
            axis.set(title=f"{group}, {process}", xlabel=curves.unit_of(summary))
            style.log_axis(axis, curves.ticks_of(panel))
            style.plain_numbers(axis)
        first = groups.index(of_row.group.iloc[0])
        row[first].set_ylabel(metric.label)
        row[first].tick_params(labelleft=True)
        if not metric.higher_is_better:
            row[first].set_ylim(top=CUT * of_row.groupby(["group", "K"]).value.min().max())
    style.legend(figure, looks, dashes)
    figure.suptitle(name)
    return figure
