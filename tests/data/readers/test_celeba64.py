"""CelebA from a few photographs made here: the crop against torchvision's, the splits, and what is
refused.
"""

import io
import os
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from bench.data import dataset
from bench.data.readers import celeba64
from bench.runtime import imports
from bench.runtime.errors import BenchError
from tests.helpers.models import whole

TRAIN, TEST = ["000001", "000003", "162770"], ["182638", "202599"]
NAMES = [*TRAIN, "162771", "182637", *TEST]


def photograph(name, size=(178, 218), kind="JPEG"):
    """A file of a photograph: a smooth field and noise, a function of the name."""
    random = np.random.default_rng(int(name))
    rows, columns = np.mgrid[: size[1], : size[0]]
    field = (
        127
        + 80
        * np.sin(rows / random.uniform(5, 30))[..., None]
        * np.cos(columns / random.uniform(5, 30))[..., None]
    )
    file = io.BytesIO()
    Image.fromarray(
        (field + random.uniform(-40, 40, size=(size[1], size[0], 3))).astype(np.uint8)
    ).save(file, kind)
    return file.getvalue()


def zipped(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for name, content in members:
            archive.writestr(name, content)
    return path


def placed(folder, names=NAMES):
    folder.mkdir(parents=True)
    for name in names:
        (folder / f"{name}.jpg").write_bytes(photograph(name))
    return folder


def expected(name):
    """uint8 (3, 64, 64) by torchvision, whose crop is asked for with top and left."""
    imports.declare_torchvision()
    from torchvision.transforms import functional

    image = Image.open(io.BytesIO(photograph(name)))
    return np.asarray(
        functional.resize(functional.crop(image, 121 - 64, 89 - 64, 128, 128), 64)
    ).transpose(2, 0, 1)


def wrong(path, *words):
    """Asserts that preparing is one line that begins with the path and holds the words, and leaves
    nothing.
    """
    with pytest.raises(BenchError) as caught:
        dataset.prepare("celeba64", path.parent / "out" / "data", {"path": str(path)})
    line = str(caught.value)
    assert (
        line.startswith(f"data.path: {path}: ")
        and "\n" not in line
        and all(word in line for word in words)
    ), line
    assert not (path.parent / "out" / "data").exists()


@pytest.mark.parametrize(
    "form", ["folder", "folder in a folder", "twice", "zip", "zip in a folder"]
)
def test_images_and_splits(tmp_path, form):
    """As torchvision's crop and resize make them, in the order of their numbers, without those
    between the splits.
    """
    members = [(f"img_align_celeba/{name}.jpg", photograph(name)) for name in reversed(NAMES)]
    path = {
        "folder": lambda: placed(tmp_path / "any"),
        "folder in a folder": lambda: placed(tmp_path / "celeba" / "img_align_celeba").parent,
        "twice": lambda: (
            placed(tmp_path / "celeba" / "img_align_celeba" / "img_align_celeba").parent.parent
        ),
        "zip": lambda: zipped(
            tmp_path / "any.zip",
            [("img_align_celeba/", b""), *members, ("__MACOSX/000002.jpg", b"no")],
        ),
        "zip in a folder": lambda: (
            zipped(tmp_path / "celeba" / "img_align_celeba.zip", members).parent
        ),
    }[form]()
    raw = celeba64.read(str(path))
    assert raw.levels == 256 and raw.train_labels is None and raw.train.shape == (3, 3, 64, 64)
    assert (whole(raw.train) == [expected(name) for name in TRAIN]).all()
    assert (whole(raw.test) == [expected(name) for name in TEST]).all()


def test_the_square(tmp_path):
    """Rows 57..184 and columns 25..152 are kept: what is outside changes nothing, and each pixel at
    a corner inside does.
    """

    def faces(*changed):
        pixels = np.zeros((218, 178, 3), np.uint8)
        for place in changed:
            pixels[place] = 255
        for name in (TRAIN[0], TEST[0]):
            Image.fromarray(pixels).save(tmp_path / f"{name}.jpg", format="PNG")  # keeps values
        return whole(celeba64.read(str(tmp_path)).train)[0]

    assert not faces(
        (slice(0, 57)),
        (slice(185, None)),
        (slice(None), slice(0, 25)),
        (slice(None), slice(153, None)),
    ).any()
    for row, i in ((57, 0), (184, 63)):
        for column, j in ((25, 0), (152, 63)):
            assert faces((row, column))[:, i, j].min() > 0


def test_prepare(tmp_path):
    dataset.prepare(
        "celeba64", tmp_path / "data", {"path": str(placed(tmp_path / "img_align_celeba"))}
    )
    data = dataset.load(tmp_path / "data")
    assert (
        data.shape == (3, 64, 64)
        and data.levels == 256
        and len(data.train) == 3
        and len(data.test) == 2
    )
    assert list(dataset.options("celeba64").model_fields) == ["path"]


def test_missing(tmp_path):
    wrong(
        tmp_path / "none", "no such file or folder; expected img_align_celeba.zip", "https://mmlab"
    )
    wrong(
        placed(tmp_path / "train", TRAIN),
        "found 3 training images (000001.jpg to 162770.jpg) and 0 test images",
    )
    wrong(
        placed(tmp_path / "test", TEST),
        "found 0 training images",
        "and 2 test images (from 182638.jpg on)",
    )


def test_wrong_images(tmp_path):
    folder = placed(tmp_path / "faces")
    for content, words in (
        (photograph("3", (178, 217)), "found 178×217 pixels, expected 178×218"),
        (photograph("3", (218, 178)), "found 218×178 pixels"),
        (photograph("3")[:-300], "cannot be decoded ("),
        (b"", "cannot be decoded ("),
        (b"<html>", "cannot be decoded (cannot identify image file"),
    ):
        (folder / "000003.jpg").write_bytes(content)
        wrong(folder, f"{folder}: 000003.jpg: {words}")
    (folder / "000003.jpg").unlink()
    (folder / "000003.jpg").symlink_to(folder / "none.jpg")
    wrong(folder, "000003.jpg: cannot be decoded ([Errno 2] No such file")


def test_wrong_archives(tmp_path):
    members = [(f"img_align_celeba/{name}.jpg", photograph(name)) for name in NAMES]
    path = zipped(tmp_path / "faces.zip", members)
    content = path.read_bytes()
    for part in (0, 100, len(content) // 2, len(content) - 10):
        path.write_bytes(content[:part])
        wrong(path, "truncated or not readable (", "expected the images of img_align_celeba.zip")
    changed = bytearray(content)
    changed[100:200] = bytes(100)  # in the first image
    path.write_bytes(changed)
    wrong(path, "img_align_celeba/000001.jpg: cannot be decoded (")
    wrong(zipped(path, [*members, members[0]]), "found 4 training images", "each once")
    elsewhere = [(f"../{name}", content) for name, content in members] + [
        (f"/{name}", content) for name, content in members
    ]
    wrong(zipped(path, elsewhere), "found 0 training images")
    assert (
        sorted(os.listdir(tmp_path)) == ["faces.zip", "out"] and os.listdir(tmp_path / "out") == []
    )
