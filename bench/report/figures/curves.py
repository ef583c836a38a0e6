"""A metric against the network evaluations of a sample, and how far each row is behind the best.

Without products with the network's Jacobian, network evaluations are K, the number of steps.
"""

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench import scores
from bench.report.figures import style
from bench.solver import SOLVER

BEST = "best spacing"
COLUMNS = 3  # of panels
BEHIND = "behind the best"
COMPARED = ["metric", "process", "trajectory", "K"]  # the cells of which one is the best


def draw(cells: pandas.DataFrame, group: str, pairs: pandas.DataFrame) -> Figure:
    """A panel for each process with the metric, and one with how far each row is behind the best.

    A colour is a variant, a dash a trajectory. A solver of several spacings is drawn at the best
    one for each K. A group of several metrics has panels for each. Error bars are ±1 standard
    error, and paired ones of the differences where there are any. If −E log p(x) is known, it is
    subtracted. A published value is a larger, hollow marker of the same shape.

    Parameters
    ----------
    cells : the rows of cells.csv of one setting.
    group : of metrics, see `bench.scores.Metric.group`.
    pairs : the rows of paired.csv of this setting.
    """
    names = [metric.name for metric in scores.in_group(group)]
    block = cells[cells.metric.isin(names)]
    if block.empty:
        return style.nothing(f"cells of {group}")
    block = _at_best_spacing(block.assign(value=block.value - block.exact.fillna(0.0)))
    block = _with_gaps(block, pairs)
    looks, dashes = style.looks(block.variant), style.dashes(block)
    figure, axes = _axes(block)
    for (name, process), (values, gaps) in axes.items():
        metric = scores.get(name)
        panel = block[(block.process == process) & (block.metric == name)]
        draw_rows(values, panel, "value", "stderr", looks, dashes)
        for variant, line in panel.groupby("variant", sort=False):
            values.plot(line.network_evaluations, line.published, **style.HOLLOW, **looks[variant])
        values.set(title=process, ylabel=metric.label)
        if not metric.higher_is_better:
            style.log_if_possible(values, "y", panel.value)
        draw_rows(gaps, panel, "gap", "gap_stderr", looks, dashes)
        several = " of its trajectory" if panel.trajectory.nunique() > 1 else ""
        gaps.set(title=f"{process}: {BEHIND}{several}", ylabel=BEHIND)
        of_metric = block[block.metric == name]  # the panels of a metric share an axis
        scale = style.differences_scale(of_metric.gap, of_metric.gap_stderr)
        gaps.set_yscale("symlog", **scale)
        gaps.set_ylim(bottom=-scale["linthresh"] / 2)
        for axis in (values, gaps):
            style.log_axis(axis, ticks_of(panel))
            style.plain_numbers(axis)
            axis.set_xlabel(unit_of(block))
    published = Line2D([], [], color="black", marker="o", label="published", **style.HOLLOW)
    style.legend(figure, looks, dashes, [published] if block.published.notna().any() else [])
    figure.suptitle(str(block.setting.iloc[0]))
    return figure


def _at_best_spacing(block):
    """The cells with the rows of solvers at their best spacing for each K, called `BEST`."""
    solvers = block[block.process == SOLVER]
    if solvers.trajectory.nunique() < 2:
        return block
    kept = [block[block.process != SOLVER]]
    for (name, _, _), cells in solvers.groupby(["metric", "variant", "K"], sort=False):
        best = scores.get(name).best(cells.value)
        if best is not None:
            kept.append(cells.loc[[best]].assign(trajectory=BEST))
    return pandas.concat(kept)


def _with_gaps(block, pairs):
    """The cells with the columns gap, ≥ 0, and gap_stderr, which is NaN where nothing is paired."""
    higher = block.metric.map(lambda name: scores.get(name).higher_is_better)
    signed = block.value.where(~higher, -block.value)
    best = signed.groupby([block[key] for key in COMPARED]).transform("min")
    paired = pairs[[*COMPARED, "variant", "stderr"]].rename(columns={"stderr": "gap_stderr"})
    return block.assign(gap=signed - best).merge(paired, how="left", on=[*COMPARED, "variant"])


def _axes(block):
    """(figure, {(metric, process): (axis of the values, axis of the gaps)}).

    The two stand side by side if there is one process, and below one another if there are several.
    """
    processes, metrics = list(block.process.unique()), list(block.metric.unique())
    if len(processes) == 1:
        figure, grid = style.panels(len(metrics), 2, 2.4)
        pairs = {(name, processes[0]): tuple(row) for name, row in zip(metrics, grid, strict=True)}
        return figure, pairs
    columns = min(COLUMNS, len(processes))
    lines = -(-len(processes) // columns)
    figure, grid = style.panels(2 * lines * len(metrics), columns)
    pairs = {}
    for index, name in enumerate(metrics):
        for place, process in enumerate(processes):
            line, column = divmod(place, columns)
            top = 2 * (index * lines + line)
            pairs[name, process] = values, gaps = grid[top][column], grid[top + 1][column]
            if place > 0:
                values.sharey(grid[top - 2 * line][0])
                gaps.sharey(grid[top - 2 * line + 1][0])
    used = {axis for pair in pairs.values() for axis in pair}
    for axis in set(grid.flat) - used:
        axis.set_axis_off()
    return figure, pairs


def draw_rows(
    axis: Axes,
    panel: pandas.DataFrame,
    value: str,
    stderr: str,
    looks: dict[str, dict[str, str]],
    dashes: dict[str, str],
) -> None:
    """Draws a curve for each variant and trajectory. value, stderr: columns of the panel."""
    for (variant, trajectory), line in panel.groupby(["variant", "trajectory"], sort=False):
        line = line.sort_values("network_evaluations")
        errors = line[stderr].to_numpy(float)
        axis.errorbar(
            line.network_evaluations,
            line[value],
            yerr=errors,
            capsize=1.5,
            elinewidth=0.6,
            linestyle=dashes[trajectory],
            **looks[variant],
        )


def unit_of(cells: pandas.DataFrame) -> str:
    """What the horizontal axis is."""
    only_steps = (cells.network_evaluations == cells.K).all()
    return "K, number of steps" if only_steps else "network evaluations"


def ticks_of(panel: pandas.DataFrame) -> pandas.Series:
    """The evaluations of the first trajectory; most rows take one evaluation a step."""
    main = panel[panel.trajectory == panel.trajectory.iloc[0]]
    usual = main[main.network_evaluations == main.K]
    return (usual if len(usual) else main).network_evaluations
