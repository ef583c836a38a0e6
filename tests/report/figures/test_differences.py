"""Which differences are real: intervals of the paired differences, in order."""

import numpy as np
import pandas

from bench.report.figures import differences


def rows(axis):
    """[(name, marker's fill, ends of the interval)] of a panel, from above."""
    names = [text.get_text() for text in axis.get_yticklabels()]
    found = []
    for name, container in zip(names, axis.containers, strict=True):
        [bar] = container.lines[2]
        ends = bar.get_segments()[0][:, 0]
        found.append((name, container.lines[0].get_markerfacecolor(), ends.tolist()))
    return found


def test_rows_are_in_order_and_hollow_where_they_cannot_be_told_apart(pairs):
    """1.96 standard errors of 0.5 and 2 are 0.98, less than 1, and 3.92, more than 3."""
    frame = pairs({"npr": (3.0, 2.0), "sn": (1.0, 0.5), "beta": (0.0, 0.0)})
    figure = differences.draw(frame)
    [axis] = [axis for axis in figure.axes if axis.axison]
    assert axis.get_title() == "ddpm even, K = 10" and axis.get_xlabel() == "FID"
    (best, _, _), (second, filled, interval), (third, hollow, _) = rows(axis)
    assert (best, second, third) == ("beta", "sn", "npr")
    assert (filled, hollow) == ("#999933", "white")
    np.testing.assert_allclose(interval, [1 - 0.98, 1 + 0.98])


def test_of_a_score_that_should_be_high_the_lower_is_behind(pairs):
    frame = pairs({"npr": (-0.2, 0.01), "sn": (0.0, 0.0)}, metric="recall")
    [axis] = [axis for axis in differences.draw(frame).axes if axis.axison]
    [(_, _, _), (name, _, interval)] = rows(axis)
    assert name == "npr" and np.mean(interval) == 0.2


def test_three_of_many_numbers_of_steps_are_shown(pairs):
    frames = [pairs({"npr": (0.0, 0.0), "sn": (1.0, 0.1)}, K=K) for K in (5, 10, 25, 50, 100)]
    other = pairs({"zero": (0.0, 0.0)}, process="ddim", K=10)
    figure = differences.draw(pandas.concat([*frames, other]))
    titles = [axis.get_title() for axis in figure.axes if axis.axison]
    assert titles == [
        "ddpm even, K = 5",
        "ddpm even, K = 10",
        "ddpm even, K = 100",
        "ddim even, K = 10",
    ]
    [text] = differences.draw(pairs({})).texts
    assert text.get_text() == "no paired differences"


def test_a_difference_without_an_error_is_not_drawn(pairs):
    """One image has no standard error."""
    frame = pairs({"npr": (1.0, np.nan), "sn": (0.0, np.nan)})
    [text] = differences.draw(frame).texts
    assert text.get_text() == "no paired differences"
