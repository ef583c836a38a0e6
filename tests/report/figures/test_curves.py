"""Curves of a metric: every row, its gap to the best, and what a paper has."""

import numpy as np
import pandas
import pytest

from bench.report.figures import curves
from tests.report.figures.conftest import texts


def lines(axis):
    """{marker: points} of the curves of a panel."""
    found = {}
    for container in axis.containers:
        line = container.lines[0]
        found[line.get_marker()] = [tuple(point) for point in line.get_xydata()]
    return found


def test_every_process_has_values_and_gaps(cells, pairs):
    """The gap is the distance from the best of the same process and K."""
    values = {"npr": {5: 8.0, 10: 4.0}, "sn": {5: 6.0, 10: 5.0}}
    both = [cells(values), cells({"npr": {5: 1.0}}, process="ddim")]
    figure = curves.draw(pandas.concat(both), "fid", pairs({}))
    axes = {axis.get_title(): axis for axis in figure.axes if axis.axison}
    assert set(axes) == {"ddpm", "ddim", "ddpm: behind the best", "ddim: behind the best"}
    assert lines(axes["ddpm"]) == {">": [(5, 8), (10, 4)], "p": [(5, 6), (10, 5)]}
    gaps = lines(axes["ddpm: behind the best"])
    assert gaps == {">": [(5, 2), (10, 0)], "p": [(5, 0), (10, 1)]}
    assert axes["ddpm"].get_ylabel() == "FID" and axes["ddpm"].get_yscale() == "log"
    assert axes["ddpm"].get_xlabel() == "K, number of steps"
    assert texts(figure) == ["npr", "sn"] and figure.get_suptitle() == "toy"


def test_one_process_has_them_side_by_side(cells, pairs):
    figure = curves.draw(cells({"npr": {5: 8.0}}), "fid", pairs({}))
    left, right = (axis.get_position() for axis in figure.axes)
    assert left.x1 < right.x0 and left.y0 == right.y0


def test_of_a_score_that_should_be_high_the_highest_is_the_best(cells, pairs):
    recall = cells({"npr": {5: 0.0}, "sn": {5: 0.5}}, metric="recall")
    values, gaps = curves.draw(recall, "recall", pairs({})).axes
    assert values.get_yscale() == "linear" and lines(values) == {">": [(5, 0)], "p": [(5, 0.5)]}
    assert lines(gaps) == {">": [(5, 0.5)], "p": [(5, 0)]}


def test_the_error_bar_of_a_gap_is_the_paired_one(cells, pairs):
    """Below, the error of a value is 1 and that of the difference 0.25."""
    frame = cells({"npr": {10: 8.0}, "sn": {10: 6.0}})
    paired = pairs({"npr": (2.0, 0.25), "sn": (0.0, 0.0)})
    _, gaps = curves.draw(frame, "fid", paired).axes
    [bar] = gaps.containers[0].lines[2]
    np.testing.assert_allclose(bar.get_segments()[0][:, 1], [1.75, 2.25])
    assert gaps.get_yscale() == "symlog"


def test_a_published_value_is_a_hollow_marker(cells, pairs):
    """The markers are at the published values, and only there."""
    frame = cells({"npr": {5: 20.0, 10: 10.0, 20: 5.0}})
    figure = curves.draw(frame.assign(published=[21.0, None, 6.0]), "fid", pairs({}))
    [hollow] = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    points = [tuple(point) for point in hollow.get_xydata() if not np.isnan(point[1])]
    assert points == [(5, 21.0), (20, 6.0)] and hollow.get_linestyle() == "None"
    assert texts(figure) == ["npr", "published"]


def test_trajectories_have_dashes(cells, pairs):
    both = [cells({"npr": {5: 8.0, 10: 4.0}}, trajectory=name) for name in ("even", "optimal")]
    figure = curves.draw(pandas.concat(both), "fid", pairs({}))
    dashes = [container.lines[0].get_linestyle() for container in figure.axes[0].containers]
    assert dashes == ["-", "--"] and texts(figure) == ["npr", "even", "optimal"]


def test_products_with_the_jacobian_move_the_points(cells, pairs):
    frame = cells({"npr": {5: 2.0, 10: 1.0}, "jacobian": {5: 2.0, 10: 1.0}})
    frame.network_evaluations *= np.where(frame.variant == "jacobian", 7, 1)
    axis = curves.draw(frame, "fid", pairs({})).axes[0]
    assert [[x for x, _ in points] for points in lines(axis).values()] == [[5, 10], [35, 70]]
    assert axis.get_xlabel() == "network evaluations"


def test_a_bound_is_drawn_above_the_exact_value(cells, pairs):
    frame = cells({"npr": {5: 3.5, 10: 3.0}}, metric="nll_nats", exact=2.5)
    values, _ = curves.draw(frame, "nll", pairs({})).axes
    assert lines(values) == {">": [(5, 1.0), (10, 0.5)]}


def test_a_solver_is_drawn_at_its_best_spacing_and_metrics_have_rows(cells, pairs):
    frames = []
    for metric in ("mean_error", "mmd_sq"):
        for spacing, values in (("linspace", (0.4, 0.1)), ("karras", (0.3, 0.2))):
            of_spacing = {"heun": dict(zip((5, 10), values, strict=True))}
            frames.append(cells(of_spacing, process="solver", trajectory=spacing, metric=metric))
    figure = curves.draw(pandas.concat(frames, ignore_index=True), "distances", pairs({}))
    values = [axis for axis in figure.axes if axis.get_ylabel() != "behind the best"]
    assert [axis.get_ylabel() for axis in values] == ["error of the mean", "squared MMD"]
    for axis in values:
        [points] = lines(axis).values()
        assert points == [(5, 0.3), (10, 0.1)]
    assert texts(figure) == ["heun"]


@pytest.mark.parametrize("group", ["isc", "recall"])
def test_without_cells_the_figure_says_so(cells, pairs, group):
    figure = curves.draw(cells({"npr": {5: 1.0}}), group, pairs({}))
    assert [text.get_text() for text in figure.texts] == [f"no cells of {group}"]
