"""Figures: a metric against the network evaluations of a sample, and samples of vectors."""

from pathlib import Path

import matplotlib
import numpy as np
import pandas
from jaxtyping import Shaped

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

from bench import covariance, scores  # noqa: E402
from bench.runtime import files  # noqa: E402
from bench.solver import SOLVER  # noqa: E402

MARKERS = "osD^v<>pPX*h"
DASHES = ["-", "--", ":", "-."]
TAB20, TAB20B, TAB20C = (matplotlib.colormaps[f"tab20{part}"].colors for part in ("", "b", "c"))
COLOURS = [*TAB20[::2], *TAB20[1::2], *TAB20B, *TAB20C]  # the ten strongest first
CUT = 1.5  # of a study's values, see `study`
ENTRIES = 24  # of a column of a legend, for each row of panels
BEST = "best spacing"
HOLLOW = {"markersize": 9, "markerfacecolor": "none", "linestyle": "none"}  # published values


def styles(variants: list[str]) -> dict[str, dict]:
    """{variant: colour and marker}, the same in every figure and different for sixty variants.

    They follow from the order of the registered variants. Other names come after those, in order.
    """
    order = list(dict.fromkeys([*covariance.VARIANTS, *variants]))
    return {
        name: {
            "color": COLOURS[order.index(name) % len(COLOURS)],
            "marker": MARKERS[order.index(name) % len(MARKERS)],
        }
        for name in variants
    }


def curves(cells: pandas.DataFrame, group: str, path: Path) -> None:
    """Draws a metric against network evaluations: a panel per process, a colour per variant, a dash
    per trajectory. Without products with the network's Jacobian these are K, the number of steps.
    A group of several metrics has a row of panels for each. A solver of several spacings is drawn
    at the best one for each K.

    Error bars are ±1 standard error. If −E log p(x) is known, it is subtracted. A published value
    is a larger, hollow marker of the same shape. Evaluations are on a logarithmic axis. So is the
    metric, unless higher is better. Without cells the figure says so.

    Parameters
    ----------
    cells : the rows of cells.csv of one setting.
    group : of metrics, see `bench.scores.Metric.group`.
    path : of the png.
    """
    names = [metric.name for metric in scores.in_group(group)]
    block = cells[cells.metric.isin(names)]
    if block.empty:
        return _nothing(group, path)
    block = _at_best_spacing(block.assign(value=block.value - block.exact.fillna(0.0)))
    looks = styles(list(block.variant.unique()))
    dashes = _dashes(block)
    processes, drawn = list(block.process.unique()), list(block.metric.unique())
    figure, axes = pyplot.subplots(
        len(drawn),
        len(processes),
        figsize=(5.2 * len(processes) + 1.8, 4.4 * len(drawn)),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    for row, name in zip(axes, drawn, strict=True):
        metric = scores.get(name)
        for axis, process in zip(row, processes, strict=True):
            panel = block[(block.process == process) & (block.metric == name)]
            _panel(axis, panel, looks, dashes)
            _decorate(axis, panel, "linear" if metric.higher_is_better else "log")
            axis.set_xlabel(_unit(block))
        row[0].set_ylabel(metric.label)
    handles = _legend(looks, dashes, block.published.notna().any())
    columns = 1 + len(handles) // (ENTRIES * len(drawn))
    figure.legend(handles=handles, loc="outside right upper", fontsize=8, ncols=columns)
    figure.suptitle(str(block.setting.iloc[0]))
    _save(figure, path, dpi=110)


def _at_best_spacing(block):
    """The cells with the rows of solvers at their best spacing for each K, called `BEST`."""
    solvers = block[block.process == SOLVER]
    if solvers.trajectory.nunique() < 2:
        return block
    kept = [block[block.process != SOLVER]]
    for (name, _, _), cells in solvers.groupby(["metric", "variant", "K"], sort=False):
        higher = scores.get(name).higher_is_better
        best = cells.value.idxmax() if higher else cells.value.idxmin()
        kept.append(cells.loc[[best]].assign(trajectory=BEST))
    return pandas.concat(kept)


def calibration(rows: pandas.DataFrame, path: Path) -> None:
    """Draws how right the variance of each variant is against the step t: 1 is right.

    Left E[(x_0 − x̂_0)²/Σ_0] with ±1 standard error, which is infinite and not drawn where an
    estimate is 0; right the ratio of the means. rows: of calibration.csv, of one setting. Without
    rows the figure says so.
    """
    if rows.empty:
        return _nothing("calibration", path)
    looks = styles(list(rows.variant.unique()))
    figure, axes = pyplot.subplots(1, 2, figsize=(10.4, 4.4), sharey=True, layout="constrained")
    for variant, line in rows.sort_values("t").groupby("variant", sort=False):
        colour, stderr = looks[variant]["color"], line.stderr.fillna(0)
        low, high = (line["mean"] - stderr).clip(lower=0), line["mean"] + stderr
        for axis, column in zip(axes, ("mean", "in_total"), strict=True):
            drawn = line[column].where(np.isfinite(line[column]))
            axis.plot(line.t, drawn, color=colour, linewidth=1.2, label=variant)
        axes[0].fill_between(line.t, low, high, color=colour, alpha=0.2, linewidth=0)
    titles = ("E[(x₀ − x̂₀)²/Σ₀], not drawn where infinite", "E‖x₀ − x̂₀‖² / E tr Σ₀")
    for axis, title in zip(axes, titles, strict=True):
        axis.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
        axis.set(xscale="log", yscale="log", xlabel="t", title=title)
        axis.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axis.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("1: right, above: the variance is too small")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    figure.suptitle(str(rows.setting.iloc[0]))
    _save(figure, path, dpi=110)


def study(summary: pandas.DataFrame, name: str, path: Path) -> None:
    """Draws a study: a row of panels for each metric and process, a column for each group.

    A metric of which less is better is cut off at `CUT` times the best value of the worst K: an
    estimate that fails would hide the others. summary: of study.csv; see
    `bench.report.studies.summarise`. name: of the study.
    """
    looks, dashes = styles(list(summary.variant.unique())), _dashes(summary)
    groups = list(summary.group.unique())
    lines = list(dict.fromkeys(zip(summary.metric, summary.process, strict=True)))
    figure, axes = pyplot.subplots(
        len(lines),
        len(groups),
        figsize=(3.2 * len(groups) + 1.8, 3.2 * len(lines)),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    for row, (metric_name, process) in zip(axes, lines, strict=True):
        metric = scores.get(metric_name)
        of_row = summary[(summary.metric == metric_name) & (summary.process == process)]
        for axis, group in zip(row, groups, strict=True):
            panel = of_row[of_row.group == group].assign(published=np.nan)
            _panel(axis, panel, looks, dashes)
            if panel.empty:
                axis.set_axis_off()
                continue
            _decorate(axis, panel, "linear" if metric.higher_is_better else "log")
            axis.set_title(f"{group}, {process}")
            axis.set_xlabel(_unit(summary))
        first = groups.index(of_row.group.iloc[0])
        row[first].set_ylabel(metric.label)
        row[first].tick_params(labelleft=True)
        if not metric.higher_is_better:
            row[first].set_ylim(top=CUT * of_row.groupby(["group", "K"]).value.min().max())
    figure.legend(handles=_legend(looks, dashes, False), loc="outside right upper", fontsize=8)
    figure.suptitle(name)
    _save(figure, path, dpi=110)


def _dashes(cells):
    """{trajectory: dash}"""
    trajectories = cells.trajectory.unique()
    return {name: DASHES[index % len(DASHES)] for index, name in enumerate(trajectories)}


def _unit(cells):
    """What the horizontal axis is."""
    only_steps = (cells.network_evaluations == cells.K).all()
    return "K, number of steps" if only_steps else "network evaluations an image"


def _nothing(group, path):
    figure = pyplot.figure(figsize=(4.4, 1.2))
    figure.text(0.5, 0.5, f"no cells of {group}", ha="center", va="center")
    _save(figure, path, dpi=110)


def _panel(axis, panel, looks, dashes):
    """The curves of one process, and the published values."""
    for (variant, trajectory), line in panel.groupby(["variant", "trajectory"], sort=False):
        line = line.sort_values("network_evaluations")
        axis.errorbar(
            line.network_evaluations,
            line.value,
            yerr=line.stderr,
            markersize=4,
            linewidth=1.2,
            capsize=2,
            linestyle=dashes[trajectory],
            **looks[variant],
        )
        axis.plot(line.network_evaluations, line.published, **HOLLOW, **looks[variant])


def _decorate(axis, panel, yscale):
    """Scales, ticks at the evaluations of the first trajectory, and the grid."""
    axis.set(xscale="log", yscale=yscale, title=panel.process.iloc[0])
    main = panel[panel.trajectory == panel.trajectory.iloc[0]]
    usual = main[main.network_evaluations == main.K]  # most rows take one evaluation a step
    ticks = []
    for evaluations in sorted((usual if len(usual) else main).network_evaluations.unique()):
        if not ticks or 1.5 * ticks[-1] <= evaluations:  # labels of closer ticks overlap
            ticks.append(evaluations)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    if yscale == "log":
        axis.yaxis.set_minor_formatter(matplotlib.ticker.LogFormatter(minor_thresholds=(2, 0.6)))
    axis.grid(alpha=0.3, which="both")


def _legend(looks, dashes, published):
    """Handles for variants, for trajectories if there are several, and for published values."""
    handles = [Line2D([], [], label=name, markersize=4, **look) for name, look in looks.items()]
    if len(dashes) > 1:
        for name, dash in dashes.items():
            handles.append(Line2D([], [], color="black", linestyle=dash, label=name))
    if published:
        handles.append(Line2D([], [], color="black", marker="o", label="published", **HOLLOW))
    return handles


def scatter(
    samples: Shaped[np.ndarray, "n dim"], training: Shaped[np.ndarray, "m dim"], path: Path
) -> None:
    """Draws two coordinates of samples over training data. Draws histograms if dim is 1."""
    figure, axis = pyplot.subplots(figsize=(4.4, 4.4), layout="constrained")
    for points, colour, label in ((training, "0.7", "training data"), (samples, "C0", "samples")):
        if points.shape[1] == 1:
            axis.hist(points[:, 0], bins=50, histtype="step", color=colour, label=label)
        else:
            axis.plot(
                points[:, 0], points[:, 1], ".", markersize=3, alpha=0.7, color=colour, label=label
            )
    axis.set(xlabel="x₁", ylabel="x₂" if training.shape[1] > 1 else "count")
    axis.legend(fontsize=8)
    _save(figure, path, dpi=100)


def _save(figure, path, dpi):
    """Writes a figure as a png that equal figures make equal, and closes it."""
    with files.writing(path) as partial:
        figure.savefig(partial, format="png", dpi=dpi, metadata={"Software": None})
    pyplot.close(figure)
