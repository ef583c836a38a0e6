"""Figures: the pixels of a sample grid, and a curve drawn for every variant."""

import numpy as np
import pandas
from matplotlib import image

from bench import figures


def test_sample_grid_shows_the_images(tmp_path):
    images = np.arange(3 * 4, dtype=np.uint8).reshape(3, 1, 2, 2)
    figures.sample_grid(images, 12, tmp_path / "grid.png", side=2)
    shown = image.imread(tmp_path / "grid.png")[..., 0]
    zoom = shown.shape[0] // 7
    assert shown.shape == (7 * zoom, 7 * zoom)
    sheet = shown[zoom // 2::zoom, zoom // 2::zoom]
    np.testing.assert_allclose(sheet[1:3, 4:6], images[1, 0] / 11, atol=1 / 255)
    np.testing.assert_allclose(sheet[4:6, 1:3], images[2, 0] / 11, atol=1 / 255)


def test_curves_are_drawn(tmp_path):
    cells = pandas.DataFrame([
        {"setting": "toy", "process": process, "trajectory": "even", "variant": variant, "K": K, "metric": "fid",
         "value": 100.0 / K, "stderr": 1.0} for process in ("ddpm", "ddim") for variant in ("a", "b") for K in (5, 10)])
    figures.curves(cells, "fid", tmp_path / "fid.png")
    drawn = image.imread(tmp_path / "fid.png")
    assert drawn.shape[0] > 300 and drawn.std() > 0.05
