"""Features of real images are extracted once; statistics files are read or refused."""

import multiprocessing
import threading

import numpy as np
import pytest
import torch

from bench.runtime import files
from bench.runtime.errors import BenchError
from bench.scores import extractors, reference
from tests.helpers.models import make_data


class Counting(torch.nn.Module):
    """The pixels as features, their sum as logits; counts images, and stops where it is told to."""

    def __init__(self):
        super().__init__()
        self.images, self.limit = 0, None

    def __call__(self, images):
        if self.limit is not None and self.images + len(images) > self.limit:
            raise KeyboardInterrupt
        self.images += len(images)
        flat = images.flatten(1).float()
        return flat, flat.sum(1, keepdim=True)


@pytest.fixture
def network(request, tmp_path, monkeypatch):
    """An extractor of its own for each test, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reference, "CHUNK", 8)
    name = f"test-{request.node.name}"
    return extractors.register(
        name, ("pixels", "sum"), Counting(), lambda network, images: network(images)
    )


def pixels(images, levels=17):
    return np.rint(images.reshape(len(images), -1) * (255 / (levels - 1))).astype(np.float32)


def kept(folder):
    return {name: np.array(rows) for name, rows in reference.read(folder, "").items()}


def test_a_hit_passes_nothing(network, data):
    folder = reference.features(network, data, "train", 20)
    found = kept(folder)
    assert found.keys() == {"features", "logits"} and found["features"].dtype == np.float32
    np.testing.assert_array_equal(found["features"], pixels(data.train[:20]))
    np.testing.assert_allclose(found["logits"][:, 0], pixels(data.train[:20]).sum(1))
    assert network.network.images == 20
    assert reference.features(network, data, "train", 20) == folder and network.network.images == 20
    beside = {path.name for path in folder.parent.iterdir()} - {folder.name}
    assert beside == {f".{folder.name}.lock"}


def test_what_decides_is_the_content(network, data):
    """Other images, another number of them or another network are other features."""
    folders = {
        reference.features(network, data, "train", 20),
        reference.features(network, data, "test", 20),
        reference.features(network, data, "train", 19),
        reference.features(network, make_data(levels=9), "train", 20),
    }
    assert len(folders) == 3  # `make_data` gives every data set one hash
    other = extractors.register(
        "test-other", ("pixels",), Counting(), lambda network, images: network(images)[:1]
    )
    assert reference.features(other, data, "train", 20) not in folders


def test_an_interrupted_extraction_goes_on(network, data):
    network.network.limit = 20
    with pytest.raises(KeyboardInterrupt):
        reference.features(network, data, "train", 30)
    assert network.network.images == 16
    network.network.limit = None
    folder = reference.features(network, data, "train", 30)
    assert network.network.images == 30
    np.testing.assert_array_equal(kept(folder)["features"], pixels(data.train[:30]))


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(path.read_bytes()[:200]), lambda path: path.unlink()]
)
def test_a_damaged_file_is_made_again(network, data, damage):
    folder = reference.features(network, data, "train", 10)
    damage(folder / "features.npy")
    with pytest.raises(BenchError, match="; do this$"):
        reference.read(folder, "do this")
    assert reference.features(network, data, "train", 10) == folder and network.network.images == 20
    np.testing.assert_array_equal(kept(folder)["features"], pixels(data.train[:10]))


def test_who_waited_finds_it_done(network, data):
    """While another process has it, nothing is extracted; then what that one made is taken."""
    folder = reference.features(network, data, "train", 10)
    thread = threading.Thread(target=reference.features, args=(network, data, "train", 10))
    held, go = (
        multiprocessing.get_context("fork").Event(),
        multiprocessing.get_context("fork").Event(),
    )

    def other():
        with files.alone(folder):
            moved = folder.rename(folder.with_name("elsewhere"))
            held.set()
            go.wait()
            moved.rename(folder)

    process = multiprocessing.get_context("fork").Process(target=other)
    process.start()
    held.wait()
    thread.start()
    thread.join(0.2)
    assert thread.is_alive() and network.network.images == 10
    go.set()
    thread.join(10)
    process.join(10)
    assert not thread.is_alive() and network.network.images == 10


def test_a_folder_that_cannot_be_made(network, data, tmp_path):
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(BenchError, match="results/.features/.*: cannot be written"):
        reference.features(network, data, "train", 4)


def statistics(path, **changes):
    """A statistics file of three features, with arrays replaced, or left out if None."""
    arrays = {"mu": np.arange(3.0), "sigma": np.eye(3) + 0.5} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def test_statistics_are_read_as_they_are(tmp_path):
    for kind in (np.float32, np.float64):
        found = reference.statistics(
            statistics(tmp_path / "s.npz", mu=np.arange(3, dtype=kind), more=np.zeros(2)), 3
        )
        assert (
            found.mean.tolist() == [0, 1, 2]
            and found.covariance.tolist() == (np.eye(3) + 0.5).tolist()
        )
        assert found.mean.dtype == np.float64


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"mu": None}, "mu not found among sigma; expected an npz file"),
        ({"mu": np.zeros(4)}, r"found mu \(4,\) and sigma \(3, 3\); expected"),
        ({"mu": np.zeros(()), "sigma": np.zeros(())}, r"found mu \(\) and sigma \(\); expected"),
        ({"mu": np.zeros(0), "sigma": np.zeros((0, 0))}, r"found mu \(0,\)"),
        ({"mu": np.zeros(3, int)}, "found mu int64 and sigma float64; expected floats"),
        ({"mu": np.array([0, np.nan, 0])}, "expected finite mu and sigma"),
        ({"sigma": np.triu(np.ones((3, 3)))}, "sigma is no covariance"),
        ({"sigma": -np.eye(3)}, "sigma is no covariance"),
        ({"mu": np.array([None] * 3)}, "corrupt or truncated"),
    ],
)
def test_statistics_that_are_none(tmp_path, changes, message):
    with pytest.raises(BenchError, match=f"s.npz: {message}") as caught:
        reference.statistics(statistics(tmp_path / "s.npz", **changes), 3)
    assert "\n" not in str(caught.value)


def test_statistics_of_another_network(tmp_path):
    with pytest.raises(
        BenchError, match="found statistics of 3 features, expected the extractor's 2048"
    ):
        reference.statistics(statistics(tmp_path / "s.npz"), 2048)
    with pytest.raises(
        BenchError, match="none.npz: missing; expected an npz file with the arrays mu"
    ):
        reference.statistics(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(BenchError, match="text.npz: corrupt or truncated .*; expected an npz file"):
        reference.statistics(tmp_path / "text.npz")
