"""Figures: a metric against the number of steps, and samples of vectors."""

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

from bench.report import tables  # noqa: E402
from bench.runtime import files  # noqa: E402

LABELS = {
    "nll_bpd": "NLL bound (bits/dim)",
    "nll_nats": "NLL bound + E log p(x) (nats)",
    "fid": "FID",
    "kid": "KID",
    "precision": "precision",
    "recall": "recall",
    "isc": "inception score",
}
MARKERS = "osD^v<>pPX*h"
DASHES = ["-", "--", ":", "-."]


def curves(cells, metric, path):
    """Draws `metric` against K: a panel per process, a colour per variant, a dash per trajectory, ±1 standard error.

    cells: the rows of cells.csv of one setting. Where −E log p(x) is known it is what lies above it that is drawn; a
    published value is a larger, hollow marker of the same shape. Both axes are logarithmic, but that of a score whose
    best value is the largest. Where there is nothing to draw, it says so.
    """
    block = cells[cells.metric.isin(tables.named(metric))]
    block = block.assign(value=block.value - block.exact.fillna(0.0))
    processes, trajectories = list(block.process.unique()), list(block.trajectory.unique())
    variants = list(cells.variant.unique())
    styles = {
        name: {"color": f"C{index % 10}", "marker": MARKERS[index % len(MARKERS)]}
        for index, name in enumerate(variants)
    }
    if block.empty:
        return _nothing(metric, path)
    figure, axes = pyplot.subplots(
        1,
        len(processes),
        figsize=(5.2 * len(processes) + 1.8, 4.4),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for axis, process in zip(axes[0], processes, strict=True):
        panel = block[block.process == process]
        for (variant, trajectory), line in panel.groupby(["variant", "trajectory"], sort=False):
            line = line.sort_values("K")
            axis.errorbar(
                line.K,
                line.value,
                yerr=line.stderr,
                markersize=4,
                linewidth=1.2,
                capsize=2,
                linestyle=DASHES[trajectories.index(trajectory) % len(DASHES)],
                **styles[variant],
            )
            axis.plot(
                line.K,
                line.published,
                markersize=9,
                markerfacecolor="none",
                linestyle="none",
                **styles[variant],
            )
        ticks = sorted(panel[panel.trajectory == panel.trajectory.iloc[0]].K.unique())
        _decorate(axis, process, ticks, "linear" if metric in tables.RISING else "log")
    axes[0][0].set_ylabel(LABELS[block.metric.iloc[0]])
    handles = [
        Line2D([], [], label=name, markersize=4, **styles[name])
        for name in variants
        if name in set(block.variant)
    ]
    if len(trajectories) > 1:
        handles += [
            Line2D([], [], color="black", linestyle=DASHES[index % len(DASHES)], label=name)
            for index, name in enumerate(trajectories)
        ]
    if block.published.notna().any():
        handles.append(
            Line2D(
                [],
                [],
                color="black",
                linestyle="none",
                marker="o",
                markersize=9,
                markerfacecolor="none",
                label="published",
            )
        )
    figure.legend(handles=handles, loc="outside right upper", fontsize=8)
    figure.suptitle(str(block.setting.iloc[0]))
    _save(figure, path, dpi=110)


def _nothing(metric, path):
    figure = pyplot.figure(figsize=(4.4, 1.2))
    figure.text(0.5, 0.5, f"no cells of {metric}", ha="center", va="center")
    _save(figure, path, dpi=110)


def _decorate(axis, process, Ks, yscale):
    axis.set(xscale="log", yscale=yscale, xlabel="K, number of steps", title=process)
    ticks = []
    for K in Ks:
        ticks += (
            [K] if not ticks or 1.2 * ticks[-1] <= K else []
        )  # others would be written over one another
    axis.set_xticks(ticks, [str(K) for K in ticks])
    axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    if yscale == "log":
        axis.yaxis.set_minor_formatter(matplotlib.ticker.LogFormatter(minor_thresholds=(2, 0.6)))
    axis.grid(alpha=0.3, which="both")


def _save(figure, path, dpi):
    """Writes a figure as a png that equal figures make equal, and forgets it."""
    with files.writing(path) as partial:
        figure.savefig(partial, format="png", dpi=dpi, metadata={"Software": None})
    pyplot.close(figure)


def scatter(found, reference, path):
    """The first two coordinates of samples over as many of the training data, both (n, d); a histogram where d is 1."""
    figure, axis = pyplot.subplots(figsize=(4.4, 4.4), layout="constrained")
    styles = ({"color": "0.7", "label": "training data"}, {"color": "C0", "label": "samples"})
    for points, style in zip((reference, found), styles, strict=True):
        if points.shape[1] == 1:
            axis.hist(points[:, 0], bins=50, histtype="step", **style)
        else:
            axis.plot(points[:, 0], points[:, 1], ".", markersize=3, alpha=0.7, **style)
    axis.set(xlabel="x₁", ylabel="x₂" if reference.shape[1] > 1 else "count")
    axis.legend(fontsize=8)
    _save(figure, path, dpi=100)
