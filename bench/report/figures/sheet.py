"""Samples of all cells on one sheet: rows are variants, columns K.

The samples of a column began at the same x_N and saw the same noise. So what differs between two
rows is the variance alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from matplotlib import pyplot
from matplotlib.figure import Figure

from bench.data.dataset import Data
from bench.report.figures import style

IMAGES = 16  # of a row
POINTS = 500  # of a cell of vectors
LEFT = 1.6  # inches, for the names


@dataclass(frozen=True)
class Cell:
    """Samples of a row and a column of the sheet, whose names they are, with levels or values."""

    row: str
    column: str
    samples: Shaped[np.ndarray, "n channels height width"]


def draw(cells: Sequence[Cell], data: Data, name: str) -> Figure:
    """The sheet, with test data in the first row. name: of the setting."""
    if not cells:
        return style.nothing("samples")
    columns = list(dict.fromkeys(cell.column for cell in cells))
    rows = list(dict.fromkeys(cell.row for cell in cells))
    places = {}
    spread = np.linspace(0, len(data.test) - 1, min(IMAGES, len(data.test))).astype(int)
    for column, chosen in enumerate(np.array_split(spread, len(columns))):
        places[0, column] = data.test[chosen] if data.levels is not None else data.test
    for cell in cells:
        places[1 + rows.index(cell.row), columns.index(cell.column)] = cell.samples
    side = (style.WIDTH - LEFT) / len(columns)
    count = max(1, IMAGES // len(columns))
    aspect = data.shape[1] / (count * data.shape[2]) if data.levels is not None else 0.6
    figure, axis = pyplot.subplots(
        figsize=(style.WIDTH, 0.5 + side * aspect * (1 + len(rows))), layout="constrained"
    )
    shape = (1 + len(rows), len(columns))
    if data.levels is not None:
        _images(axis, places, shape, count, data)
    else:
        _vectors(axis, places, data)
    axis.set_xticks(np.arange(len(columns)) + 0.5, columns)
    axis.set_yticks(np.arange(1 + len(rows)) + 0.5, ["test data", *rows])
    axis.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axis.set(xlim=(0, len(columns)), ylim=(1 + len(rows), 0))
    for line in range(1, len(columns)):
        axis.axvline(line, color="white", linewidth=4)
    figure.suptitle(name)
    return figure


def _images(axis, places, shape, count, data):
    """Draws all images as one.

    places: {(row, column): samples}; shape: rows and columns; count: images of a cell.
    """
    channels, height, width = data.shape
    sheet = np.ones((shape[0], height + 1, shape[1], count, width + 1, channels))
    for (row, column), samples in places.items():
        for index, image in enumerate(samples[:count]):
            levels = image.transpose(1, 2, 0) / (data.levels - 1)
            sheet[row, :height, column, index, :width] = levels
    sheet = sheet.reshape(shape[0] * (height + 1), -1, channels)
    axis.imshow(
        sheet[..., 0] if channels == 1 else sheet,
        cmap="gray",
        vmin=0,
        vmax=1,
        extent=(0, shape[1], shape[0], 0),
        interpolation="nearest",
        aspect="auto",
    )


def _vectors(axis, places, data):
    """Draws the first two coordinates of vectors over those of test data, or histograms."""
    test = data.test.reshape(len(data.test), -1)
    low, high = test.min(0) - 0.2 * np.ptp(test, 0), test.max(0) + 0.2 * np.ptp(test, 0)
    for (row, column), samples in places.items():
        points = samples.reshape(len(samples), -1)
        for drawn, colour in ((test[:POINTS], "0.75"), (points, style.COLOURS[0])):
            if drawn.shape[1] == 1:
                count, edges = np.histogram(drawn[:, 0], bins=40, range=(low[0], high[0]))
                x = (edges[:-1] - low[0]) / (high[0] - low[0])
                y = count / max(count.max(), 1)
                axis.plot(column + x, row + 0.95 - 0.85 * y, color=colour, linewidth=0.7)
                continue
            x, y = ((drawn[:POINTS, :2] - low[:2]) / (high - low)[:2]).T
            inside = (x > 0) & (x < 1) & (y > 0) & (y < 1)
            axis.plot(
                column + x[inside], row + 1 - y[inside], ".", color=colour, markersize=1.5, mew=0
            )


def scatter(samples: Shaped[np.ndarray, "n dim"], training: Shaped[np.ndarray, "m dim"]) -> Figure:
    """Two coordinates of samples over training data. Histograms if dim is 1."""
    figure, axis = pyplot.subplots(figsize=(4.4, 4.4), layout="constrained")
    for points, colour, label in ((training, "0.7", "training data"), (samples, "C0", "samples")):
        if points.shape[1] == 1:
            axis.hist(points[:, 0], bins=50, histtype="step", color=colour, label=label)
        else:
            axis.plot(
                points[:, 0], points[:, 1], ".", markersize=3, alpha=0.7, color=colour, label=label
            )
    axis.set(xlabel="x₁", ylabel="x₂" if training.shape[1] > 1 else "count")
    axis.legend()
    return figure
