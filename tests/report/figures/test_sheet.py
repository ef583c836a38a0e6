"""Samples on a sheet: pixel by pixel, in the row and the column of their cell."""

import numpy as np
import pytest
from matplotlib import image

from bench.data.dataset import Data
from bench.report.figures import sheet, style
from tests.helpers.models import make_data


def test_images_stand_in_the_place_of_their_cell():
    """Rows have test data above; each image is followed by a line of white."""
    data = make_data(shape=(1, 2, 2), levels=17)
    black, white = (np.full((5, 1, 2, 2), level, dtype=np.uint8) for level in (0, 16))
    cells = [
        sheet.Cell("ddpm npr", "K = 5", black),
        sheet.Cell("ddpm npr", "K = 10", white),
        sheet.Cell("ddim zero", "K = 10", black),
    ]
    figure = sheet.draw(cells, data, "toy")
    [axis] = figure.axes
    pixels = np.asarray(axis.images[0].get_array())
    assert pixels.shape == (3 * 3, sheet.IMAGES * 3)
    places = pixels.reshape(3, 3, 2, 8, 3)[:, :2, :, :5, :2]  # of eight, five are there
    assert (places[1, :, 0] == 0).all() and (places[1, :, 1] == 1).all()
    assert (places[2, :, 0] == 1).all() and (places[2, :, 1] == 0).all()  # the first is no cell
    np.testing.assert_array_equal(places[0, :, 0, 0], data.test[0, 0] / 16)
    assert [text.get_text() for text in axis.get_yticklabels()] == [
        "test data",
        "ddpm npr",
        "ddim zero",
    ]
    assert [text.get_text() for text in axis.get_xticklabels()] == ["K = 5", "K = 10"]


@pytest.mark.parametrize("dim", [1, 2, 16])
def test_vectors_are_drawn_over_test_data(tmp_path, dim):
    random = np.random.default_rng(0)
    train, test, drawn = (random.normal(size=(n, dim, 1, 1)) for n in (50, 40, 30))
    data = Data("toy", train, test, None, None, None, "")
    figure = sheet.draw([sheet.Cell("ddpm npr", "K = 5", drawn)], data, "toy")
    grey, blue = (
        [line for line in figure.axes[0].lines if line.get_color() == colour]
        for colour in ("0.75", style.COLOURS[0])
    )
    assert len(grey) == len(blue) == 2
    if dim > 1:
        y = blue[1].get_ydata()
        assert 20 < len(y) <= 30 and ((y > 1) & (y < 2)).all()
    style.save(figure, [tmp_path / "sheet.png"])
    pixels = image.imread(tmp_path / "sheet.png")
    assert (pixels[..., 2] > pixels[..., 0] + 0.2).sum() > 50


def test_without_samples_the_sheet_says_so():
    [text] = sheet.draw([], make_data(), "toy").texts
    assert text.get_text() == "no samples"
