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
    figure, axes = _axes(lines, groups)
    several = summary.process.nunique() > 1
    for (metric_name, process), row in zip(lines, axes, strict=True):
        metric = scores.get(metric_name)
        of_row = summary[(summary.metric == metric_name) & (summary.process == process)]
        for axis, group in zip(row, groups, strict=True):
            panel = of_row[of_row.group == group]
            if panel.empty:
                axis.set_axis_off()
                continue
            curves.draw_rows(axis, panel, "value", "stderr", looks, dashes)
            if not metric.higher_is_better:
                style.log_if_possible(axis, "y", panel.value)
            axis.set(title=f"{group}, {process}" if several else group, xlabel=_unit(panel))
            style.log_axis(axis, curves.ticks_of(panel), apart=1.7 if len(groups) < 4 else 3.0)
            style.plain_numbers(axis)
        first = row[groups.index(of_row.group.iloc[0])]
        first.set_ylabel(metric.label)
        first.tick_params(labelleft=True)
        if not metric.higher_is_better:
            first.set_ylim(top=CUT * of_row.groupby(["group", "K"]).value.min().max())
    style.legend(figure, looks, dashes)
    figure.suptitle(name)
    return figure


def _axes(lines, groups):
    """(figure, rows of axes): a row for each line, an axis for each group.

    The lines of a single group stand two beside one another.
    """
    if len(groups) > 1:
        return style.panels(len(lines), len(groups), 2.2, sharey="row")
    figure, axes = style.panels(-(-len(lines) // 2), min(2, len(lines)), 2.2)
    for axis in axes.flat[len(lines) :]:
        axis.set_axis_off()
    return figure, [[axis] for axis in axes.flat[: len(lines)]]


def _unit(panel):
    """What the horizontal axis of a narrow panel is."""
    only_steps = (panel.network_evaluations == panel.K).all()
    return "K" if only_steps else "evaluations"
