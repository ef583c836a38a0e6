"""Where the bound is lost, step by step, and which variance is wrong there."""

import numpy as np
import pandas
from matplotlib.figure import Figure

from bench.report.figures import style

POINTS = 200  # at most so many of a curve, or a little more
MARKED = 12  # of these have a marker


def terms(rows: pandas.DataFrame, label: str) -> Figure:
    """The mean of every term of the bound but the first and the last against t, a panel for each K
    (Bao et al. 2022a, Figure 1b).

    Parameters
    ----------
    rows : columns setting, variant, K, t, mean and stderr, of one setting and trajectory.
    label : of the vertical axis, with the unit.
    """
    if rows.empty:
        return style.nothing("terms of the bound")
    looks, Ks = style.looks(rows.variant), list(rows.K.unique())
    figure, axes = style.panels(1, len(Ks), 2.8, sharey=True)
    for axis, K in zip(axes[0], Ks, strict=True):
        panel = rows[rows.K == K]
        for variant, line in panel.groupby("variant", sort=False):
            line = _thinned(line, POINTS)
            axis.plot(line.t, line["mean"], markevery=_every(line, MARKED), **looks[variant])
        axis.set(title=f"K = {K}", xlabel="t")
        style.log_if_possible(axis, "y", panel["mean"])
        style.log_axis(axis)
        style.plain_numbers(axis)
    axes[0][0].set_ylabel(label)
    style.legend(figure, looks)
    figure.suptitle(f"{rows.setting.iloc[0]}: what the step from t adds to the bound")
    return figure


def calibration(rows: pandas.DataFrame) -> Figure:
    """How right the variance of each variant is against the step t: 1 is right.

    Left E[(x_0 − x̂_0)²/Σ_0] with ±1 standard error, which is infinite and not drawn where an
    estimate is 0; right the ratio of the means. rows: of calibration.csv, of one setting.
    """
    if rows.empty:
        return style.nothing("calibration")
    looks = style.looks(rows.variant)
    figure, axes = style.panels(1, 2, 2.8, sharey=True)
    left, right = axes[0]
    for variant, line in rows.groupby("variant", sort=False):
        line = _thinned(line, POINTS)
        colour, stderr = looks[variant]["color"], line.stderr.fillna(0)
        for axis, column in ((left, "mean"), (right, "in_total")):
            drawn = line[column].where(np.isfinite(line[column]))
            axis.plot(line.t, drawn, markevery=_every(line, MARKED), **looks[variant])
        low, high = (line["mean"] - stderr).clip(lower=0), line["mean"] + stderr
        left.fill_between(line.t, low, high, color=colour, alpha=0.2, linewidth=0)
    titles = ("E[(x₀ − x̂₀)²/Σ₀], not drawn where infinite", "E‖x₀ − x̂₀‖² / E tr Σ₀")
    for axis, title in zip(axes[0], titles, strict=True):
        # It is there also where nothing else can be drawn on logarithmic axes.
        axis.plot([rows.t.min(), rows.t.max()], [1.0, 1.0], color="black", lw=0.8, ls=":")
        axis.set(yscale="log", xlabel="t", title=title)
        style.log_axis(axis)
        style.plain_numbers(axis)
    left.set_ylabel("1: right, above: the variance is too small")
    style.legend(figure, looks)
    figure.suptitle(str(rows.setting.iloc[0]))
    return figure


def _thinned(line, count):
    """The rows of a curve in the order of t, about `count` of them."""
    return line.sort_values("t").iloc[:: _every(line, count)]


def _every(line, count):
    """The n for which every n-th row of a curve makes about `count`."""
    return max(1, len(line) // count)
