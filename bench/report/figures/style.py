"""What all figures share: sizes, the look of a row, axes, legends, and how a figure is saved.

A figure is as wide as a page and its letters have 8 points, so that it can be printed as it is. A
variant has a colour and a marker that are its own for good (`Variant.look`). The colours are those
of Okabe & Ito 2008 and of Tol 2021, chosen for readers who tell colours apart badly; the markers
tell apart what the colours do not.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402

from bench import covariance  # noqa: E402
from bench.registry import MARKERS  # noqa: E402
from bench.runtime import digests, files  # noqa: E402

WIDTH = 6.9  # inches, of a page
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#117733",
    "#44AA99", "#332288", "#999933", "#AA4499",
)  # fmt: skip
DASHES = ["-", "--", ":", "-."]
HOLLOW = {"markersize": 6, "markerfacecolor": "none", "linestyle": "none"}  # published values
FORMATS = ("svg", "png")
DPI = 200  # of the png
LEGEND = 4  # columns

matplotlib.rcParams.update(
    {
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.labelsize": 8,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "figure.titlesize": 8,
        "legend.frameon": False,
        "lines.linewidth": 1.0,
        "lines.markersize": 3.5,
        "axes.linewidth": 0.6,
        "grid.linewidth": 0.4,
        "grid.alpha": 0.4,
        "svg.fonttype": "none",  # letters stay letters, which can be searched for and edited
        "svg.hashsalt": "bench",  # equal figures are equal files
    }
)


def looks(rows: Iterable[str]) -> dict[str, dict[str, str]]:
    """{row: colour and marker}, the same in every figure.

    A row that has none of its own (`Variant.look`), as a solver or a variant of another package,
    gets one that follows from its name. Of two rows of a figure with the same look the later one
    gets another marker.
    """
    chosen, taken = {}, set()
    for name in dict.fromkeys(rows):
        variant = covariance.VARIANTS.get(name)
        number = int(digests.digest(name), 16)
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        if variant is not None and variant.look is not None:
            colour, marker = variant.look
        start = MARKERS.index(marker)
        for other in MARKERS[start:] + MARKERS[:start]:
            if (colour, other) not in taken:
                marker = other
                break
        taken.add((colour, marker))
        chosen[name] = {"color": colour, "marker": marker}
    return chosen


def panels(
    rows: int, columns: int, height: float = 1.9, **options: object
) -> tuple[Figure, np.ndarray]:
    """(figure, its axes as an array of rows and columns). height: of a row, in inches."""
    return pyplot.subplots(
        rows,
        columns,
        figsize=(WIDTH, height * rows + 0.4),
        squeeze=False,
        layout="constrained",
        **options,
    )


def nothing(of: str) -> Figure:
    """A figure that says that there is nothing to draw. of: what there is none of."""
    figure = pyplot.figure(figsize=(WIDTH, 0.6))
    figure.text(0.5, 0.5, f"no {of}", ha="center", va="center")
    return figure


def log_axis(axis: Axes, values: Iterable[float] = (), apart: float = 1.7) -> None:
    """A logarithmic horizontal axis with labels at `values`, of which the next one is at least
    `apart` times the last; or at powers of ten and what lies between.
    """
    axis.set_xscale("log")
    ticks = []
    for value in sorted(set(values)):
        if not ticks or apart * ticks[-1] <= value:
            ticks.append(value)
    if ticks:
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    else:
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(few_labels())


def differences_scale(differences: pandas.Series, errors: pandas.Series) -> dict[str, float]:
    """Options of a symlog axis of differences ≥ 0: linear below the power of ten below the median
    error, as less than that is no difference.
    """
    positive = errors[(differences > 0) & (errors > 0)]
    if positive.empty:
        positive = differences[differences > 0]
    usual = positive.median() if len(positive) else 1.0
    return {"linthresh": 10 ** np.floor(np.log10(usual)), "linscale": 0.5}


def log_if_possible(axis: Axes, which: str, values: pandas.Series) -> None:
    """A logarithmic axis, `which` of x and y, if a value can be drawn on it; else a linear one."""
    numbers = values.to_numpy(float)
    drawable = np.isfinite(numbers) & (numbers > 0)
    axis.set(**{f"{which}scale": "log" if drawable.any() else "linear"})


def plain_numbers(axis: Axes) -> None:
    """Labels of the vertical axis as 0.1 and 20, also between the powers of ten."""
    axis.yaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    if axis.get_yscale() == "log":
        axis.yaxis.set_minor_formatter(few_labels())
    axis.grid(True, which="major")


def few_labels() -> matplotlib.ticker.Formatter:
    """Labels between the powers of ten of a logarithmic axis, where there is room for them."""
    return matplotlib.ticker.LogFormatter(minor_thresholds=(1.5, 0.5))


def dashes(cells: pandas.DataFrame) -> dict[str, str]:
    """{trajectory: dash} of the column `trajectory`."""
    names = cells.trajectory.unique()
    return {name: DASHES[index % len(DASHES)] for index, name in enumerate(names)}


def legend(
    figure: Figure,
    rows: dict[str, dict[str, str]],
    of_trajectories: dict[str, str] | None = None,
    more: Sequence[Line2D] = (),
) -> None:
    """A legend below the panels: rows, trajectories if there are several, and `more`."""
    handles = [Line2D([], [], label=name, **look) for name, look in rows.items()]
    if of_trajectories and len(of_trajectories) > 1:
        for name, dash in of_trajectories.items():
            handles.append(Line2D([], [], color="black", linestyle=dash, label=name))
    handles += more
    figure.set_figheight(figure.get_figheight() + 0.16 * -(-len(handles) // LEGEND) + 0.1)
    figure.legend(handles=handles, loc="outside lower center", ncols=LEGEND)


def save(figure: Figure, paths: Iterable[Path]) -> None:
    """Writes a figure to each path, in the format that its suffix says, and closes it.

    Equal figures make equal files.
    """
    for path in paths:
        kind = path.suffix[1:]
        without_date = {"Software": None} if kind == "png" else {"Date": None}
        with files.writing(path) as partial:
            figure.savefig(partial, format=kind, dpi=DPI, metadata=without_date)
        figure.set_layout_engine("none")  # it has been laid out, which takes half of the time
    pyplot.close(figure)
