"""Terms of the bound and calibration, of every variant at every step."""

import numpy as np
import pandas

from bench.report import tables
from bench.report.figures import steps, style
from tests.report.figures.conftest import texts


def test_terms_have_a_panel_for_each_number_of_steps():
    rows = [("toy", "npr", 2, t, 1.0 / t, 0.1) for t in (20, 10)]
    rows += [("toy", "sn", 3, t, 2.0 / t, 0.1) for t in (10, 20, 30)]
    frame = pandas.DataFrame(rows, columns=["setting", "variant", "K", "t", "mean", "stderr"])
    figure = steps.terms(frame, "bits/dim")
    assert [axis.get_title() for axis in figure.axes] == ["K = 2", "K = 3"]
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[10, 0.1], [20, 0.05]]
    assert len(figure.axes[1].lines[0].get_xydata()) == 3
    assert figure.axes[0].get_ylabel() == "bits/dim" and texts(figure) == ["npr", "sn"]
    [text] = steps.terms(frame[:0], "bits/dim").texts
    assert text.get_text() == "no terms of the bound"


def test_calibration_is_drawn_for_every_variant():
    """Where it is infinite on the left there is a gap, and the right has all points."""
    rows = [("toy", "npr", t, 1.0, 0.1, 1.1) for t in (2, 1, 3)]
    rows += [("toy", "sn", t, np.inf if t == 2 else 2.0, np.nan, 2.5) for t in (1, 2, 3)]
    frame = pandas.DataFrame(rows, columns=tables.CALIBRATION)
    figure = steps.calibration(frame)
    left, right = ([line.get_xydata().tolist() for line in axis.lines] for axis in figure.axes)
    assert left[0] == [[1, 1], [2, 1], [3, 1]]
    assert [y for _, y in left[1]][::2] == [2, 2] and np.isnan(left[1][1][1])
    assert [[y for _, y in line] for line in right[:2]] == [[1.1] * 3, [2.5] * 3]
    assert texts(figure) == ["npr", "sn"]
    [text] = steps.calibration(frame[:0]).texts
    assert text.get_text() == "no calibration"


def test_what_is_infinite_at_every_step_is_drawn_on_the_right_alone(tmp_path):
    """A head whose estimate is 0 somewhere at every step; saving lays out logarithmic axes."""
    rows = [("toy", "npr", t, np.inf, np.nan, 2.0) for t in (1, 2)]
    figure = steps.calibration(pandas.DataFrame(rows, columns=tables.CALIBRATION))
    style.save(figure, [tmp_path / "calibration.png"])
    assert (tmp_path / "calibration.png").stat().st_size > 5000
