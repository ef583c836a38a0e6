"""Images that others drew are read as they are, or refused."""

import re

import numpy as np
import pytest
from PIL import Image

from bench.data import drawn
from bench.runtime.errors import BenchError
from tests.helpers.models import whole

BYTES = np.arange(256, dtype=np.uint8)
SHAPE = (3, 6, 8)  # not square: rows and columns are told apart
IMAGES = np.random.default_rng(0).integers(256, size=(5, *SHAPE), dtype=np.uint8)


def read(path, shape=SHAPE):
    images, words = drawn.read(path, shape, 256, BYTES)
    return whole(images), words


def save(folder, suffix, **options):
    for number, image in enumerate(IMAGES):
        picture = Image.fromarray(image.transpose(1, 2, 0))
        picture.save(folder / f"{number}.{suffix}", **options)


@pytest.mark.parametrize(
    "suffix, options", [("png", {}), ("bmp", {}), ("webp", {"lossless": True})]
)
def test_colours_of_a_folder_are_exact(suffix, options, tmp_path):
    save(tmp_path, suffix, **options)
    images, words = read(tmp_path)
    np.testing.assert_array_equal(images, IMAGES)
    assert words == f"5 {suffix} of {tmp_path}"


def test_files_of_several_kinds_are_said(tmp_path):
    save(tmp_path, "png")
    (tmp_path / "below").mkdir()
    save(tmp_path / "below", "jpg")
    images, words = read(tmp_path)
    assert len(images) == 10 and words == f"5 jpg, 5 png of {tmp_path}"


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1)])
def test_both_layouts_of_an_array_are_read(axes, tmp_path):
    np.savez(tmp_path / "drawn.npz", IMAGES.transpose(axes))
    np.testing.assert_array_equal(read(tmp_path / "drawn.npz")[0], IMAGES)


@pytest.mark.parametrize("names, taken", [("a", "a"), (["a", "arr_0"], "arr_0")])
def test_which_array_is_taken(names, taken, tmp_path):
    arrays = {name: IMAGES[:1] // (1 if name == taken else 2) for name in names}
    np.savez(tmp_path / "drawn.npz", **arrays)
    np.testing.assert_array_equal(read(tmp_path / "drawn.npz")[0], IMAGES[:1])


def test_an_array_is_not_chosen_among_several(tmp_path):
    """The first might be the real images."""
    np.savez(tmp_path / "drawn.npz", real=IMAGES, drawn=IMAGES)
    with pytest.raises(BenchError, match="found the arrays real, drawn; expected one, or one that"):
        read(tmp_path / "drawn.npz")


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_other_modes_are_not_converted(mode, tmp_path):
    Image.new(mode, (8, 6)).save(tmp_path / ("0.jpg" if mode == "CMYK" else "0.png"))
    with pytest.raises(
        BenchError, match=f"found 8×6 pixels of mode {mode}, expected 8×6 of mode RGB"
    ):
        read(tmp_path)


def test_a_folder_is_of_one_or_three_channels(tmp_path):
    with pytest.raises(BenchError, match="expected an npz file, as the data have 2 channels"):
        read(tmp_path, (2, 6, 8))


def test_an_empty_archive_and_an_empty_array_are_one_line(tmp_path):
    np.savez(tmp_path / "none.npz")
    np.savez(tmp_path / "empty.npz", IMAGES[:0])
    for name, message in (("none", "found no array"), ("empty", "found no image")):
        with pytest.raises(BenchError, match=re.escape(f"{name}.npz: {message}")):
            read(tmp_path / f"{name}.npz")
