"""Figures of the variances themselves."""

import numpy as np
import pandas

from bench.report.figures import variances
from bench.variances import ROW
from tests.report.figures.conftest import texts


def arrays(**more):
    """Arrays of two steps and images of 4 × 4."""
    shape = (2, 1, 4, 4)
    shown = {key: np.zeros(shape) for key in ("x_0", "x_t", "x0_hat")}
    return {"t": np.array([3.0, 9.0]), **shown, "error_sq": np.full(shape, 0.5), **more}


def test_every_variant_is_drawn_between_the_bounds():
    """β̃ estimates no covariance: it has no panel of v."""
    rows = []
    for K in (2, 20):
        for t in (3, 6):
            rows.append((K, "beta_tilde", t - 1, t, 0.1, 0.5, 0.1, np.nan, np.nan, np.nan))
            rows.append((K, "npr", t - 1, t, 0.1, 0.5, 0.2, 0.4, 0.3, 0.6))
    figure = variances.draw(pandas.DataFrame(rows, columns=ROW), "toy")
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:2] == [f"mean σ² of K = {K}; grey: its bounds" for K in (2, 20)]
    assert titles[2:] == ["npr"] and texts(figure) == ["beta_tilde", "npr"]
    values = [line.get_ydata().tolist() for line in figure.axes[0].lines]
    assert values == [[0.1, 0.1], [0.2, 0.2]]
    [band] = figure.axes[2].collections
    assert (band.get_datalim(figure.axes[2].transData).intervaly == [0.3, 0.6]).all()
    [text] = variances.draw(pandas.DataFrame(columns=ROW), "toy").texts
    assert text.get_text() == "no variances"


def test_maps_stand_beside_the_image_and_its_error():
    figure = variances.maps(arrays(**{"map npr": np.full((2, 1, 4, 4), 0.25)}), "toy")
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["x₀", "x_t", "x̂₀", "(x₀ − x̂₀)²", "npr"]
    squares = [axis.images[0] for axis in figure.axes if axis.images]
    assert (squares[4].get_array() == 0.25).all() and (squares[3].get_array() == 0.5).all()
    assert squares[3].norm is squares[4].norm  # their colours can be compared
    [text] = variances.maps(arrays(), "toy").texts
    assert text.get_text() == "no variance of an image that depends on x_t"


def test_a_spectrum_is_the_mean_at_each_frequency():
    """A spectrum of 1 is 1 at every frequency; one that is 1 at the lowest alone is so there."""
    flat, low = np.ones((2, 1, 4, 4)), np.zeros((2, 1, 4, 4))
    low[..., 0, 0] = 1.0
    figure = variances.spectra(arrays(**{"spectrum mle_dct": flat, "energy mle_dct": low}), "toy")
    assert [axis.get_title() for axis in figure.axes] == ["t = 3", "t = 9"]
    variant, measured = (line.get_xydata() for line in figure.axes[0].lines)
    assert (variant[:, 1] == 1).all()
    assert (variant[:, 0] == measured[:, 0]).all() and variant[-1, 0] == np.hypot(0.75, 0.75)
    assert measured[0].tolist() == [0.0, 1.0] and (measured[1:, 1] == 0).all()
    assert texts(figure) == ["mle_dct", "squared error"]
