"""Figures: a metric against the number of steps, and grids of samples."""

import matplotlib

matplotlib.use("Agg")
import numpy as np  # noqa: E402
from matplotlib import pyplot  # noqa: E402

from bench import files  # noqa: E402

LABELS = {"nll_bpd": "NLL bound (bits/dim)", "fid": "FID", "kid": "KID"}
MARKERS = "osD^v<>pPX*h"


def curves(cells, metric, path):
    """Draws `metric` against K, a panel per process, a line per variant and trajectory, with ±1 standard error bars.

    cells: the rows of cells.csv of one setting. Both axes are logarithmic.
    """
    block = cells[cells.metric == metric]
    processes = list(block.process.unique())
    variants = list(cells.variant.unique())
    figure, axes = pyplot.subplots(1, len(processes), figsize=(6.5 * len(processes), 4.8), squeeze=False, sharey=True)
    for axis, process in zip(axes[0], processes, strict=True):
        lines = block[block.process == process].groupby(["variant", "trajectory"], sort=False)
        for (variant, trajectory), line in lines:
            line = line.sort_values("K")
            index = variants.index(variant)
            axis.errorbar(line.K, line.value, yerr=line.stderr, color=f"C{index % 10}", marker=MARKERS[index % len(MARKERS)],
                          markersize=4, linewidth=1.2, capsize=2, linestyle="-" if trajectory == "even" else "--",
                          label=variant if trajectory == "even" else f"{variant} ({trajectory})")
        _decorate(axis, process, sorted(block[block.process == process].K.unique()))
    axes[0][0].set_ylabel(LABELS[metric])
    figure.suptitle(str(block.setting.iloc[0]))
    _save(figure, path)


def _decorate(axis, process, Ks):
    axis.set(xscale="log", yscale="log", xlabel="K, number of steps", title=process)
    axis.set_xticks(Ks, [str(K) for K in Ks])
    axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axis.yaxis.set_minor_formatter(matplotlib.ticker.LogFormatter(minor_thresholds=(2, 0.6)))
    axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize=8)


def sample_grid(images, levels, path, side=8):
    """Writes the first side² images, uint8 levels (n, channels, h, w), as a png without scaling artefacts."""
    shown = images[: side * side]
    rows = -(-len(shown) // side)
    channels, height, width = shown.shape[1:]
    sheet = np.zeros((rows * (height + 1) + 1, side * (width + 1) + 1, channels))
    for index, image in enumerate(shown):
        top, left = (index // side) * (height + 1) + 1, (index % side) * (width + 1) + 1
        sheet[top:top + height, left:left + width] = image.transpose(1, 2, 0) / (levels - 1)
    zoom = max(1, 512 // sheet.shape[1])
    sheet = sheet.repeat(zoom, axis=0).repeat(zoom, axis=1).repeat(3 // channels, axis=2)
    with files.writing(path) as partial:
        pyplot.imsave(partial, sheet, format="png")


def _save(figure, path):
    figure.tight_layout()
    with files.writing(path) as partial:
        figure.savefig(partial, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
