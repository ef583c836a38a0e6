"""Figures: a metric against the number of steps, and grids of samples."""

import matplotlib

matplotlib.use("Agg")
import numpy as np  # noqa: E402
from matplotlib import pyplot  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

from bench import files  # noqa: E402

LABELS = {"nll_bpd": "NLL bound (bits/dim)", "fid": "FID", "kid": "KID"}
MARKERS = "osD^v<>pPX*h"
DASHES = ["-", "--", ":", "-."]


def curves(cells, metric, path):
    """Draws `metric` against K: a panel per process, a colour per variant, a dash per trajectory, ±1 standard error.

    cells: the rows of cells.csv of one setting. Both axes are logarithmic.
    """
    block = cells[cells.metric == metric]
    processes, trajectories = list(block.process.unique()), list(block.trajectory.unique())
    variants = list(cells.variant.unique())
    styles = {name: {"color": f"C{index % 10}", "marker": MARKERS[index % len(MARKERS)]} for index, name in enumerate(variants)}
    figure, axes = pyplot.subplots(1, len(processes), figsize=(5.2 * len(processes) + 1.8, 4.4), squeeze=False, sharey=True,
                                   layout="constrained")
    for axis, process in zip(axes[0], processes, strict=True):
        panel = block[block.process == process]
        for (variant, trajectory), line in panel.groupby(["variant", "trajectory"], sort=False):
            line = line.sort_values("K")
            axis.errorbar(line.K, line.value, yerr=line.stderr, markersize=4, linewidth=1.2, capsize=2,
                          linestyle=DASHES[trajectories.index(trajectory) % len(DASHES)], **styles[variant])
        _decorate(axis, process, sorted(panel.K.unique()))
    axes[0][0].set_ylabel(LABELS[metric])
    handles = [Line2D([], [], label=name, markersize=4, **styles[name]) for name in variants if name in set(block.variant)]
    if len(trajectories) > 1:
        handles += [Line2D([], [], color="black", linestyle=DASHES[index % len(DASHES)], label=name)
                    for index, name in enumerate(trajectories)]
    figure.legend(handles=handles, loc="outside right upper", fontsize=8)
    figure.suptitle(str(block.setting.iloc[0]))
    with files.writing(path) as partial:
        figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _decorate(axis, process, Ks):
    axis.set(xscale="log", yscale="log", xlabel="K, number of steps", title=process)
    axis.set_xticks(Ks, [str(K) for K in Ks])
    axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axis.yaxis.set_minor_formatter(matplotlib.ticker.LogFormatter(minor_thresholds=(2, 0.6)))
    axis.grid(alpha=0.3, which="both")


def sample_grid(images, levels, path, side=8):
    """Writes the first side² images, uint8 levels (n, channels, h, w), enlarged by whole pixels, as a png."""
    shown = images[: side * side]
    channels, height, width = shown.shape[1:]
    sheet = np.zeros((-(-len(shown) // side) * (height + 1) + 1, side * (width + 1) + 1, channels))
    for index, image in enumerate(shown):
        top, left = (index // side) * (height + 1) + 1, (index % side) * (width + 1) + 1
        sheet[top:top + height, left:left + width] = image.transpose(1, 2, 0) / (levels - 1)
    zoom = max(1, 512 // sheet.shape[1])
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1).repeat(3 // channels, axis=2)
    with files.writing(path) as partial:
        pyplot.imsave(partial, sheet, format="png")
