"""Figures: a curve drawn for every variant."""

import numpy as np
import pandas
from matplotlib import image

from bench import covariance
from bench.report import figures, tables


def test_curves_are_drawn(tmp_path):
    cells = pandas.DataFrame(
        [
            {
                "setting": "toy",
                "process": process,
                "trajectory": "even",
                "variant": variant,
                "K": K,
                "network_evaluations": K,
                "metric": "fid",
                "value": 100.0 / K,
                "stderr": 1.0,
                "exact": None,
                "published": None,
            }
            for process in ("ddpm", "ddim")
            for variant in ("a", "b")
            for K in (5, 10)
        ]
    )
    figures.curves(cells, "fid", tmp_path / "fid.png")
    drawn = image.imread(tmp_path / "fid.png")
    assert drawn.shape[0] > 300 and drawn.std() > 0.05


def test_nothing_to_draw_and_a_linear_scale(tmp_path):
    """A score that no extractor here has leaves a picture that says so; shares of 0 are drawn."""
    row = {
        "setting": "toy",
        "process": "ddim",
        "trajectory": "even",
        "variant": "a",
        "stderr": np.nan,
        "exact": None,
        "published": None,
    }
    cells = pandas.DataFrame(
        [
            {**row, "K": K, "network_evaluations": K, "metric": "recall", "value": value}
            for K, value in ((5, 0.0), (10, 0.5))
        ]
    )
    figures.curves(cells, "isc", tmp_path / "isc.png")
    assert image.imread(tmp_path / "isc.png").std() > 0.01
    figures.curves(cells, "recall", tmp_path / "recall.png")
    low = image.imread(tmp_path / "recall.png")
    figures.curves(cells.assign(value=[0.1, 0.5]), "recall", tmp_path / "higher.png")
    assert (low != image.imread(tmp_path / "higher.png")).any()


def test_a_published_value_is_a_hollow_marker(tmp_path, monkeypatch):
    """The markers drawn are at the published values, and only there."""
    drawn = []
    monkeypatch.setattr(figures.pyplot, "close", drawn.append)
    row = {
        "setting": "toy",
        "process": "ddpm",
        "trajectory": "even",
        "variant": "a",
        "metric": "fid",
        "stderr": 1.0,
        "exact": None,
    }
    cells = pandas.DataFrame(
        [
            {**row, "K": K, "network_evaluations": K, "value": 100.0 / K, "published": published}
            for K, published in ((5, 21.0), (10, None), (20, 6.0))
        ]
    )
    figures.curves(cells, "fid", tmp_path / "fid.png")
    hollow = [
        line
        for line in drawn[0].axes[0].lines
        if line.get_markerfacecolor() == "none" and line.get_linestyle() == "None"
    ]
    points = [
        (x, y) for line in hollow for x, y in zip(*line.get_data(), strict=True) if not np.isnan(y)
    ]
    assert points == [(5, 21.0), (20, 6.0)]
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["a", "published"]


def test_products_with_the_jacobian_move_the_points(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures.pyplot, "close", drawn.append)
    row = {
        "setting": "toy",
        "process": "ddpm",
        "trajectory": "even",
        "metric": "fid",
        "stderr": 1.0,
        "exact": None,
        "published": None,
    }
    cells = pandas.DataFrame(
        [
            {**row, "variant": variant, "K": K, "network_evaluations": cost * K, "value": 100.0 / K}
            for variant, cost in (("a", 1), ("b", 7))
            for K in (5, 10)
        ]
    )
    figures.curves(cells, "fid", tmp_path / "fid.png")
    axis = drawn[0].axes[0]
    curves = [list(line.lines[0].get_xdata()) for line in axis.containers]
    assert curves == [[5, 10], [35, 70]] and axis.get_xlabel() == "network evaluations an image"
    figures.curves(cells[cells.variant == "a"], "fid", tmp_path / "fid.png")
    assert drawn[1].axes[0].get_xlabel() == "K, number of steps"


def test_a_bound_is_drawn_above_the_exact_value(tmp_path):
    """Both figures are the same to the pixel: bounds above 2.5, and as far above 0."""
    row = {
        "setting": "toy",
        "process": "ddpm",
        "trajectory": "even",
        "variant": "a",
        "metric": "nll_nats",
        "stderr": 0.1,
        "published": None,
    }
    for name, exact in (("above", 2.5), ("plain", 0.0)):
        cells = pandas.DataFrame(
            [
                {**row, "K": K, "network_evaluations": K, "value": exact + 5.0 / K, "exact": exact}
                for K in (5, 10)
            ]
        )
        figures.curves(cells, "nll", tmp_path / f"{name}.png")
    assert (tmp_path / "above.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


def test_calibration_is_drawn_for_every_variant(tmp_path, monkeypatch):
    """Where it is infinite on the left there is a gap, and the right has all points."""
    drawn = []
    monkeypatch.setattr(figures.pyplot, "close", drawn.append)
    rows = [("toy", "a", t, 1.0, 0.1, 1.1) for t in (2, 1, 3)]
    rows += [("toy", "b", t, np.inf if t == 2 else 2.0, np.nan, 2.5) for t in (1, 2, 3)]
    frame = pandas.DataFrame(rows, columns=tables.CALIBRATION)
    figures.calibration(frame, tmp_path / "calibration.png")
    left, right = drawn[0].axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in left.lines}
    assert lines["a"] == [[1, 1], [2, 1], [3, 1]]
    assert [y for _, y in lines["b"]][::2] == [2, 2] and np.isnan(lines["b"][1][1])
    lines = {line.get_label(): list(line.get_ydata()) for line in right.lines}
    assert lines["a"] == [1.1] * 3 and lines["b"] == [2.5] * 3
    figures.calibration(frame[:0], tmp_path / "nothing.png")
    assert image.imread(tmp_path / "nothing.png").std() > 0.01


def test_a_variant_looks_the_same_in_every_figure():
    """And unlike any other, up to sixty of them."""
    registered = list(covariance.VARIANTS)
    names = [*registered, *(f"new_{index}" for index in range(60 - len(registered)))]
    looks = figures.styles(names)
    assert len({look["color"] for look in looks.values()}) == 60
    for name in registered:
        assert figures.styles([name])[name] == looks[name]
        assert figures.styles(["new", name])[name] == looks[name]


def test_a_solver_is_drawn_at_its_best_spacing_and_metrics_have_rows(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures.pyplot, "close", drawn.append)
    row = {"setting": "toy", "variant": "heun", "stderr": 0.1, "exact": None, "published": None}
    cells = []
    for metric in ("mean_error", "mmd_sq"):
        for spacing, values in (("linspace", (0.4, 0.1)), ("karras", (0.3, 0.2))):
            for K, value in zip((5, 10), values, strict=True):
                cell = {"process": "solver", "trajectory": spacing, "metric": metric}
                cells.append({**row, **cell, "K": K, "network_evaluations": K, "value": value})
    figures.curves(pandas.DataFrame(cells), "distances", tmp_path / "distances.png")
    axes = drawn[0].axes
    assert [axis.get_ylabel() for axis in axes] == ["error of the mean", "squared MMD"]
    for axis in axes:
        assert axis.lines[0].get_ydata().tolist() == [0.3, 0.1]
    texts = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert texts == ["heun"]
