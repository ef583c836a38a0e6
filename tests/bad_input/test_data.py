"""Files of data sets, references and extractors that are no regular file, or name a thing twice."""

import io
import os
import zipfile

import numpy as np
import pytest

SETTING = ["--setting", "tiny"]
IMAGES = np.zeros((200, 8, 8), dtype=np.uint8)


def with_data(**data):
    return {"*.data": data, "*.clip_levels": {"ddpm": 1.0, "ddim": 1.0}}


# what reads it: the changes of the configuration
READERS = {
    "cifar10": with_data(name="cifar10", path="it"),
    "fashion_mnist": with_data(name="fashion_mnist", path="it"),
    "mnist": with_data(name="mnist", path="it"),
    "npz": with_data(name="npz", path="it"),
    "folder": with_data(name="folder", path="it", size=8),
    "celeba64": with_data(name="celeba64", path="it"),
    "imagenet64": with_data(name="imagenet64", path="it"),
    "lsun_bedroom": with_data(name="lsun_bedroom", path="it", size=8),
    "mean.checkpoint": {"*.mean": {"checkpoint": "it"}},
    "mean.published": {"*.mean": {"published": {"format": "pytorch_diffusion", "path": "it"}}},
    "extractor.weights": {"*.extractor": {"name": "inception", "weights": "it"}},
    "fidelity.reference": {"*.fidelity": {"target_fid": 1.0, "resamples": 9, "reference": "it"}},
}


@pytest.mark.parametrize("where", READERS)
def test_a_fifo(where, configured, refuse):
    """Nothing waits for it, not even Snakemake, which compares the content of what it reads."""
    folder = configured({**READERS[where], "metrics": ["nll"]})
    os.mkfifo(folder / "it")
    arguments = ["data", *SETTING, "--config", "config.yaml"]
    refuse(folder, arguments, ": it: found a FIFO, which is not read; expected a regular file or a")


@pytest.mark.parametrize("where", ["cifar10", "npz", "mean.published", "extractor.weights"])
def test_a_device(where, configured, refuse):
    folder = configured({**READERS[where], "metrics": ["nll"]})
    (folder / "it").symlink_to("/dev/zero")
    arguments = ["data", *SETTING, "--config", "config.yaml"]
    refuse(folder, arguments, ": it: found a device, which is not read; expected a regular file or")


# what is wrong: (name of the FIFO in the folder, reader, message)
MEMBERS = {
    "an image": ("b.png", "folder", "'b.png': found a FIFO"),
    "an archive": ("cifar-10-python.tar.gz", "cifar10", "data_batch_1, data_batch_2"),
    "a zip file": ("img_align_celeba.zip", "celeba64", "found a FIFO"),
    "a batch": ("val_data.npz", "imagenet64", "val_data.npz: found a FIFO"),
    "batches": ("Imagenet64_val_npz.zip", "imagenet64", "Imagenet64_val_npz.zip: found a FIFO"),
}


@pytest.mark.parametrize("case", MEMBERS)
def test_a_fifo_in_a_folder(case, configured, refuse):
    name, reader, message = MEMBERS[case]
    folder = configured({**READERS[reader], "metrics": ["nll"], "*.bound.images": 1})
    (folder / "it").mkdir()
    (folder / "it" / "a.png").touch()  # the test image, which is made after those for training
    os.mkfifo(folder / "it" / name)
    refuse(folder, ["data", *SETTING, "--config", "config.yaml"], message)


def twice(path, name, array):
    """Adds an array to an npz file under a name that it has."""
    content = io.BytesIO()
    np.save(content, array)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(f"{name}.npy", content.getvalue())


@pytest.mark.parametrize("name", ["train", "test"])
def test_images_twice(name, configured, refuse):
    folder = configured(READERS["npz"])
    np.savez(folder / "it.npz", train=IMAGES, test=IMAGES)
    (folder / "it.npz").rename(folder / "it")
    twice(folder / "it", name, IMAGES + 1)
    arguments = ["data", *SETTING, "--config", "config.yaml"]
    refuse(folder, arguments, f"data.path: it: array {name!r} stands there twice; expected it once")


@pytest.mark.parametrize("reader", ["npz", "folder"])
def test_more_test_images_than_there_are(reader, configured, refuse):
    """The size of these data is known when they are read: nothing is trained before the error."""
    folder = configured({**READERS[reader], "metrics": ["nll"], "*.bound.images": 201})
    if reader == "npz":
        np.savez(folder / "it.npz", train=IMAGES, test=IMAGES)
        (folder / "it.npz").rename(folder / "it")
        there = 200
    else:
        (folder / "it").mkdir()
        for index in range(20):
            (folder / "it" / f"{index}.png").touch()
        there = 2
    message = f"bound.images: expected at most the {there} test images of tiny, found 201"
    refuse(folder, ["data", *SETTING, "--config", "config.yaml"], message)


def test_statistics_twice(copy, configured, refuse):
    np.savez(copy / "it.npz", mu=np.zeros(64), sigma=np.eye(64))
    (copy / "it.npz").rename(copy / "it")
    twice(copy / "it", "mu", np.ones(64))
    config = configured({**READERS["fidelity.reference"], "metrics": ["fid"]}) / "config.yaml"
    refuse(copy, ["reference", *SETTING, "--config", config], "it: corrupt or truncated (an array")


def test_samples_twice(copy, refuse):
    path = copy / "results/tiny/samples/ddim/heads/npr/even_K5/0.npz"
    twice(path, "images", np.zeros((40, 1, 8, 8), dtype=np.uint8))
    arguments = ["fidelity", *SETTING, "--process", "ddim"]
    config = "results/tiny-tables/config.yaml"
    refuse(copy, [*arguments, "--config", config], "0.npz: corrupt or truncated (an array stands")
