"""The variances themselves (`bench.variances`): against t, as maps over an image, as spectra."""

from collections.abc import Mapping

import numpy as np
import pandas
from jaxtyping import Float64
from matplotlib import colors, pyplot
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.figures import style

COLUMNS = 4  # of small panels
BINS = 12  # of the frequencies
TOP = 1.5  # of the axes of v, which is at most 1 if the mean model is perfect
FLOOR = 1e-3  # of what is drawn in a map, as a share of the largest value


def draw(rows: pandas.DataFrame, name: str) -> Figure:
    """σ² against t for each K with its bounds (Bao et al. 2022a, Figure 1a), and v of each variant.

    Grey: between the bounds for a perfect mean. The band of a small panel holds 80 % of images and
    coordinates; its dotted line, the same in all, is the median of the variants. rows: of
    `bench.variances.ROW`. name: of the setting.
    """
    if rows.empty:
        return style.nothing("variances")
    looks, Ks = style.looks(rows.variant), sorted(rows.K.unique())
    estimating = list(rows.variant[rows.v.notna()].unique())
    figure, large, small = _axes(Ks, estimating)
    for K, axis in large.items():
        panel = rows[rows.K == K].sort_values("t")
        bounds = panel.drop_duplicates("t")
        axis.fill_between(bounds.t, bounds.lower, bounds.upper, color="0.88", linewidth=0)
        for variant, line in panel.groupby("variant", sort=False):
            axis.plot(line.t, line.sigma_sq, markevery=max(1, len(line) // 10), **looks[variant])
        axis.set(title=f"mean σ² of K = {K}; grey: its bounds", xlabel="t")
        style.log_if_possible(axis, "y", panel.upper)
        style.log_axis(axis)
        style.plain_numbers(axis)
    every = rows.sort_values("t").drop_duplicates(["variant", "t"])
    middle = every.groupby("t").v.median()
    for variant, axis in small.items():
        line, look = every[every.variant == variant], looks[variant]
        axis.fill_between(line.t, line.v_low, line.v_high, color=look["color"], alpha=0.25, lw=0)
        axis.plot(line.t, line.v, color=look["color"])
        axis.plot(middle.index, middle, color="black", linestyle=":", linewidth=0.7)
        axis.set(title=variant, xlabel="t", ylim=(0.0, min(1.05 * every.v_high.max(), TOP)))
        style.log_axis(axis, _powers_of_ten(every.t))
        axis.grid(True)
    style.legend(figure, looks)
    figure.suptitle(f"{name}: σ²; below v with a band of 80 % (dotted: the median of the variants)")
    return figure


def _axes(Ks, variants):
    """(figure, {K: axis}, {variant: axis}): the large panels above, the small ones below."""
    lines = -(-len(variants) // COLUMNS)
    places = [f"v {variant}" for variant in variants]
    places += ["."] * (lines * COLUMNS - len(variants))
    wide = COLUMNS // len(Ks)
    mosaic = [[f"K {K}" for K in Ks for _ in range(wide)]]
    mosaic += [places[start : start + COLUMNS] for start in range(0, len(places), COLUMNS)]
    figure, axes = pyplot.subplot_mosaic(
        mosaic,
        figsize=(style.WIDTH, 2.4 + 1.3 * lines),
        height_ratios=[1.7] + [1.0] * lines,
        layout="constrained",
    )
    small = {variant: axes[f"v {variant}"] for variant in variants}
    return figure, {K: axes[f"K {K}"] for K in Ks}, small


def _powers_of_ten(t):
    """Those between the least and the greatest t."""
    return [power for power in map(int, 10 ** np.arange(7)) if t.min() <= power <= t.max()]


def maps(arrays: Mapping[str, Float64[np.ndarray, "..."]], name: str) -> Figure:
    """A line for each step: the image, x_t, x̂_0, its squared error, and Σ_0 of each variant.

    Channels are averaged in what is a square. arrays: of `bench.variances.measure`.
    """
    variants = [key.removeprefix("map ") for key in arrays if key.startswith("map ")]
    if not variants:
        return style.nothing("variance of an image that depends on x_t")
    shown = {"x₀": "x_0", "x_t": "x_t", "x̂₀": "x0_hat", "(x₀ − x̂₀)²": "error_sq"}
    shown |= {variant: f"map {variant}" for variant in variants}
    figure, axes = style.panels(len(arrays["t"]), len(shown), 5.6 / len(shown))
    for line, (row, t) in enumerate(zip(axes, arrays["t"], strict=True)):
        squares = [arrays[key][line].mean(0) for key in list(shown.values())[3:]]
        top = max(square.max() for square in squares)
        scale = colors.LogNorm(FLOOR * top, top)
        for axis, (title, key) in zip(row, shown.items(), strict=True):
            axis.set(xticks=[], yticks=[])
            if line == 0:
                axis.set_title(title)
            if key in ("x_0", "x_t", "x0_hat"):
                axis.imshow(_picture(arrays[key][line]), cmap="gray", vmin=0, vmax=1)
            else:
                square = np.maximum(arrays[key][line].mean(0), FLOOR * top)
                last = axis.imshow(square, cmap="viridis", norm=scale)
        row[0].set_ylabel(f"t = {t:g}")
        figure.colorbar(last, ax=list(row), fraction=0.03, pad=0.01)
    figure.suptitle(f"{name}: one test image, and what the variances are over it")
    return figure


def _picture(image):
    """An image of values in about [−1, 1] as (height, width, 3) or (height, width) in [0, 1]."""
    levels = np.clip((image + 1) / 2, 0, 1)
    return levels.transpose(1, 2, 0) if len(levels) == 3 else levels.mean(0)


def spectra(arrays: Mapping[str, Float64[np.ndarray, "..."]], name: str) -> Figure:
    """v against the frequency of the DCT, a panel for each step, beside the measured squares.

    Dots: the mean of (Fᵀ(x_0 − x̂_0))² a²/b² over the images. A flat line would be a variance of
    pixels. arrays: of `bench.variances.measure`.
    """
    variants = [key.removeprefix("spectrum ") for key in arrays if key.startswith("spectrum ")]
    if not variants:
        return style.nothing("variance in the frame of the DCT")
    figure, axes = style.panels(1, len(arrays["t"]), 2.0, sharey=True)
    looks = style.looks(variants)
    for line, (axis, t) in enumerate(zip(axes[0], arrays["t"], strict=True)):
        for variant in variants:
            frequency, mean = _by_frequency(arrays[f"spectrum {variant}"][line])
            axis.plot(frequency, mean, **looks[variant])
        frequency, mean = _by_frequency(arrays[f"energy {variants[0]}"][line])
        axis.plot(frequency, mean, ".", color="black")
        axis.set(title=f"t = {t:g}", xlabel="frequency", yscale="log")
        style.plain_numbers(axis)
    axes[0][0].set_ylabel("v")
    measured = Line2D([], [], color="black", marker=".", linestyle="", label="squared error")
    style.legend(figure, looks, more=[measured])
    figure.suptitle(f"{name}: spectra; a frequency of 1 changes its sign at every pixel")
    return figure


def _by_frequency(square):
    """(frequencies from 0 to √2, the means of the coefficients there), over all channels."""
    channels, height, width = square.shape
    rows, columns = np.arange(height) / height, np.arange(width) / width
    frequency = np.hypot(rows[:, None], columns).ravel()
    places = np.minimum((frequency * BINS).astype(int), 2 * BINS)
    counts = np.bincount(places)
    kept = counts > 0
    values = square.mean(0).ravel()
    of_bins = [np.bincount(places, weights=one)[kept] / counts[kept] for one in (frequency, values)]
    return tuple(of_bins)
