"""FID against the bound: a point for each variant and K that has both."""

import pandas

from bench.report.figures import style, tradeoff
from tests.report.figures.conftest import texts


def test_a_point_is_a_variant_and_a_number_of_steps(cells):
    """K = 200 has no FID, and so no point. The bound of a known law is drawn above it."""
    bound = {"npr": {10: 3.5, 50: 3.0, 200: 2.9}, "sn": {10: 4.5}}
    fid = cells({"npr": {10: 20.0, 50: 8.0}, "sn": {10: 25.0}})
    both = pandas.concat([cells(bound, metric="nll_nats", exact=2.5), fid])
    figure = tradeoff.draw(both)
    points = {}
    for line in figure.axes[0].lines:
        if line.get_marker() != "None":
            points.setdefault(line.get_color(), []).append(tuple(line.get_xydata()[0]))
    assert points == {"#009E73": [(1.0, 20.0), (0.5, 8.0)], "#999933": [(2.0, 25.0)]}
    assert texts(figure) == ["npr", "sn", "K = 10", "K = 50"]
    assert (figure.axes[0].get_ylabel(), figure.axes[0].get_title()) == ("FID", "ddpm")


def test_without_both_the_figure_says_so(cells):
    [text] = tradeoff.draw(cells({"npr": {5: 1.0}})).texts
    assert text.get_text() == "no cells with a bound and FID"


def test_values_that_cannot_be_drawn_on_logarithmic_axes(cells, tmp_path):
    """FID that is not finite, and a bound below 0, of vectors."""
    both = [cells({"npr": {10: -1.0}}, metric="nll_nats"), cells({"npr": {10: float("nan")}})]
    style.save(tradeoff.draw(pandas.concat(both)), [tmp_path / "tradeoff.png"])
    assert (tmp_path / "tradeoff.png").stat().st_size > 3000
