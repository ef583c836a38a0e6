"""Folders of images that Pillow writes here: order, splits, cutting and resizing, and what is
refused.
"""

import dataclasses
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bench.data import dataset
from bench.data.readers import folder
from bench.runtime.errors import BenchError
from tests.helpers.models import whole

RANDOM = np.random.default_rng(0)


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path, **options)


def grey(value, side=4):
    return np.full((side, side, 3), value)


def firsts(images):
    """The first value of each image, by which the tests know it."""
    return images[:, 0, 0, 0].tolist()


def read(path, **options):
    """What the reader returns, its images in memory."""
    raw = folder.read(str(path), **options)
    return dataclasses.replace(raw, train=whole(raw.train), test=whole(raw.test))


def wrong(path, *words, **options):
    """Asserts that reading is one line that begins with the path and holds the words."""
    with pytest.raises(BenchError) as caught:
        read(path, **{"size": 4, **options})
    line = str(caught.value)
    assert (
        line.startswith(f"data.path: {path}: ")
        and "\n" not in line
        and all(word in line for word in words)
    ), line


def test_formats_order_and_splits(tmp_path):
    """Sorted by path, whatever the order of writing.

    Bmp and png keep values, jpeg and webp nearly do.
    """
    names = ["b/1.bmp", "a/2.PNG", "a/10.jpg", "c.webp", "b/0.jpeg", "a/b/c/d.png"]
    for value, name in enumerate(names):
        save(tmp_path / name, grey(40 * value), quality=95)
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    (tmp_path / "a" / "._2.png").write_text("hidden")
    save(tmp_path / ".thumbnails" / "2.png", grey(0))
    raw = read(tmp_path, size=4, test_every=4)
    order = [
        40 * names.index(name)
        for name in ("a/10.jpg", "a/2.PNG", "a/b/c/d.png", "b/0.jpeg", "b/1.bmp", "c.webp")
    ]
    np.testing.assert_allclose(firsts(raw.test), [order[0], order[4]], atol=2)
    np.testing.assert_allclose(firsts(raw.train), [order[1], order[2], order[3], order[5]], atol=2)
    assert raw.train.shape == (4, 3, 4, 4) and raw.train.dtype == raw.test.dtype == np.uint8
    assert raw.levels == 256 and raw.train_labels is None and raw.test_labels is None


def test_every_tenth(tmp_path):
    for value in range(23):
        save(tmp_path / f"{value:02}.png", grey(value))
    raw = read(tmp_path, size=4)
    assert firsts(raw.test) == [0, 10, 20] and firsts(raw.train) == [
        value for value in range(23) if value % 10
    ]


def test_splits_that_are_there(tmp_path):
    for value in range(6):
        save(tmp_path / ("test" if value < 2 else "train") / f"{value}.png", grey(value))
    save(tmp_path / "other" / "9.png", grey(9))
    raw = read(tmp_path, size=4)
    assert firsts(raw.train) == [2, 3, 4, 5] and firsts(raw.test) == [0, 1]
    os.rename(tmp_path / "test", tmp_path / "valid")  # train alone is a folder like any other
    assert firsts(read(tmp_path, size=4).test) == [9]


def test_pixels_and_channels(tmp_path):
    """An image of the right size is what it was, channel by channel."""
    pixels = RANDOM.integers(0, 256, size=(2, 6, 6, 3))
    for index, image in enumerate(pixels):
        save(tmp_path / f"{index}.png", image)
    raw = read(tmp_path, size=6, test_every=2)
    assert (raw.test[0] == pixels[0].transpose(2, 0, 1)).all() and (
        raw.train[0] == pixels[1].transpose(2, 0, 1)
    ).all()


@pytest.mark.parametrize("height, width", [(8, 13), (13, 8), (8, 8)])
def test_centre_and_means(tmp_path, height, width):
    """The largest centred square, then means of 2×2 pixels, within the rounding of two passes."""
    pixels = RANDOM.integers(0, 256, size=(height, width, 3))
    for name in "ab":
        save(tmp_path / f"{name}.png", pixels)
    top, left = (height - 8) // 2, (width - 8) // 2
    means = (
        pixels[top : top + 8, left : left + 8]
        .reshape(4, 2, 4, 2, 3)
        .mean((1, 3))
        .transpose(2, 0, 1)
    )
    assert np.abs(read(tmp_path, size=4).train[0] - means).max() <= 1


def test_small_images_are_enlarged(tmp_path):
    pixels = RANDOM.integers(0, 256, size=(2, 2, 3))
    for name in "ab":
        save(tmp_path / f"{name}.png", pixels)
    expected = pixels.repeat(3, 0).repeat(3, 1).transpose(2, 0, 1)
    assert (read(tmp_path, size=6).train[0] == expected).all()


def test_modes(tmp_path):
    """Grey, palette and alpha become RGB; the colour below a transparent pixel counts."""
    colour = np.array([[[200, 30, 90]] * 4] * 4, dtype=np.uint8)
    Image.fromarray(colour).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "0.png")
    Image.fromarray(colour).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "1.png")
    Image.fromarray(np.dstack([colour, np.zeros((4, 4), np.uint8)])).save(tmp_path / "2.png")
    Image.fromarray(np.full((4, 4), 77, np.uint8)).save(tmp_path / "3.png")
    Image.fromarray(np.eye(4) > 0).save(tmp_path / "4.png")
    train = read(tmp_path, size=4).train
    assert (train[:2] == np.array([200, 30, 90])[:, None, None]).all() and (train[2] == 77).all()
    assert (train[3] == 255 * np.eye(4)).all()


def test_prepare(tmp_path):
    for value in range(4):
        save(tmp_path / "images" / f"{value}.png", grey(value))
    dataset.prepare("folder", tmp_path / "data", {"path": str(tmp_path / "images"), "size": 2})
    data = dataset.load(tmp_path / "data")
    assert (
        data.name == "folder"
        and data.shape == (3, 2, 2)
        and firsts(data.train) == [1, 2, 3]
        and data.levels == 256
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"size": 0}, {"size": 2.5}, {"size": "4"}, {"size": 10**7}, {"size": 4, "test_every": 1}],
)
def test_options(options):
    with pytest.raises(ValueError):
        dataset.options("folder")(path="x", **options)
    assert dataset.options("folder")(path="x", size=4).model_dump() == {
        "path": "x",
        "size": 4,
        "test_every": 10,
    }


def test_links_are_followed(tmp_path):
    """To files and folders elsewhere; loops end."""
    images, other = tmp_path / "images", tmp_path / "other"
    save(other / "1.png", grey(1))
    save(other / "deep" / "2.png", grey(2))
    images.mkdir()
    (images / "0.png").symlink_to(other / "1.png")
    (images / "a").symlink_to(other / "deep")
    (images / "b").symlink_to(images)
    (images / "bb").symlink_to(images)
    (images / "c").symlink_to(other / "deep")
    raw = read(images, size=4)
    assert firsts(raw.test) == [1] and firsts(raw.train) == [2]


def test_missing_and_empty(tmp_path):
    wrong(
        tmp_path / "none",
        "no such folder; expected a folder of images (.png, .jpg, .jpeg, .webp, .bmp)",
    )
    (tmp_path / "notes.txt").write_text("no image")
    wrong(tmp_path / "notes.txt", "no such folder")
    wrong(tmp_path, "found 0 images below it; expected at least 2 (.png, ")
    save(tmp_path / "0.png", grey(0))
    wrong(tmp_path, "found 1 images below it; expected at least 2")
    save(tmp_path / "train" / "0.png", grey(0))
    (tmp_path / "test").mkdir()
    wrong(tmp_path, "test: found 0 images below it; expected at least 1")


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", denied)
    wrong(tmp_path, f"cannot be listed ({tmp_path}: Permission denied)")


def png(width, height, depth=8, kind=2, pixels=b""):
    """A png file of these header fields; Pillow writes none that claims what it does not hold."""

    def chunk(name, content):
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("text.png", b"no image", "'deep/text.png': cannot be decoded (cannot identify image file"),
        ("empty.jpg", b"", "'deep/empty.jpg': cannot be decoded ("),
        ("page.webp", b"<html>", "'deep/page.webp': cannot be decoded ("),
        (
            "drawing.png",
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n",
            "cannot be decoded (cannot identify image file",
        ),
        (
            "many.png",
            png(10_000, 10_000),
            f"'deep/many.png': found more than {Image.MAX_IMAGE_PIXELS} pixels, "
            f"expected at most so many",
        ),
        (
            "more.png",
            png(2**31 - 1, 2**31 - 1),
            f"'deep/more.png': found more than {Image.MAX_IMAGE_PIXELS} pixels",
        ),
        (
            "short.png",
            png(300, 300),
            "'deep/short.png': cannot be decoded (image file is truncated",
        ),
        (
            "sixteen.png",
            png(2, 2, 16, 0, bytes(10)),
            "'deep/sixteen.png': found pixels of mode I;16, expected 8 bits per channel",
        ),
        ("two\nlines.png", b"", r"'deep/two\nlines.png': cannot be decoded ("),
    ],
    ids=["text", "empty", "html", "eps", "many pixels", "more pixels", "short", "16 bits", "name"],
)
def test_files_that_are_no_images(tmp_path, name, content, words):
    save(tmp_path / "a.png", grey(0))
    save(tmp_path / "z.png", grey(0))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / name).write_bytes(content)
    wrong(tmp_path, words)


def test_truncated(tmp_path):
    for ending in ("png", "jpg", "bmp", "webp"):
        path = tmp_path / ending / f"a.{ending}"
        save(path, RANDOM.integers(0, 256, size=(40, 40, 3)))
        save(path.with_name("b.png"), grey(0))
        path.write_bytes(path.read_bytes()[:-200])
        wrong(tmp_path / ending, f"'a.{ending}': cannot be decoded (")


def test_broken_links(tmp_path):
    save(tmp_path / "a.png", grey(0))
    (tmp_path / "b.png").symlink_to(tmp_path / "none.png")
    wrong(tmp_path, "'b.png': cannot be decoded ([Errno 2] No such file or directory")
