"""Pictures of samples, pixel by pixel."""

import numpy as np
import pytest
from matplotlib import image

from bench.data.dataset import Data
from bench.report import pictures


def test_a_grid_shows_the_images(tmp_path):
    images = np.arange(3 * 4, dtype=np.uint8).reshape(3, 1, 2, 2)
    pictures.grid(images, 12, tmp_path / "grid.png", side=2)
    shown = image.imread(tmp_path / "grid.png")
    zoom = shown.shape[0] // 7
    assert shown.shape == (7 * zoom, 7 * zoom)
    sheet = shown[zoom // 2 :: zoom, zoom // 2 :: zoom]
    np.testing.assert_allclose(sheet[1:3, 4:6], images[1, 0] / 11, atol=1 / 255)
    np.testing.assert_allclose(sheet[4:6, 1:3], images[2, 0] / 11, atol=1 / 255)


def test_a_grid_in_colour(tmp_path):
    images = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 2, 2)
    pictures.grid(images, 256, tmp_path / "grid.png", side=2)
    shown = image.imread(tmp_path / "grid.png")
    zoom = shown.shape[1] // 7
    assert shown.shape == (4 * zoom, 7 * zoom, 3)
    np.testing.assert_allclose(
        shown[zoom // 2 :: zoom, zoom // 2 :: zoom][1:3, 4:6],
        images[1].transpose(1, 2, 0) / 255,
        atol=1e-7,
    )


@pytest.mark.parametrize("dim", [1, 2, 16])
def test_vectors_are_drawn_over_the_training_data(tmp_path, dim):
    random = np.random.default_rng(0)
    data = Data(
        "toy",
        random.normal(size=(50, dim, 1, 1)),
        random.normal(size=(5, dim, 1, 1)),
        None,
        None,
        None,
        "",
    )
    pictures.samples(random.normal(size=(40, dim, 1, 1)), data, tmp_path / "samples.png")
    drawn = image.imread(tmp_path / "samples.png")
    blue = (drawn[..., 2] > drawn[..., 0] + 0.3).sum()
    assert drawn.shape[0] > 300 and blue > 100
