"""Files of images are told from those of another crop, order or count."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from bench import cli
from bench.data import dataset, known
from bench.data.dataset import Images, Raw
from bench.data.readers import cifar10, digits
from tests.helpers.runs import ROOT

CONFIG = ["--config", str(ROOT / "params.yaml")]


def check(*words):
    cli.main(["check", "data", *words, *CONFIG])


def verdicts(capsys):
    """{quantity: verdict} of the table."""
    lines = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[2:]]
    return {line[0].strip(): line[3].strip() for line in lines}


def test_the_digits_are_those_that_are_known(capsys):
    check("digits")
    found = verdicts(capsys)
    assert set(found.values()) == {"ok"} and len(found) == 8


def shifted(raw):
    """Another crop: a column to the right."""
    return Raw(np.roll(raw.train, 1, axis=3)[..., 1:], raw.test[..., 1:], 17)


def reversed_(raw):
    """Another order."""
    return Raw(raw.train[::-1], raw.test, 17)


def rounded(raw):
    """Another filter: half of the levels."""
    return Raw(raw.train // 2 * 2, raw.test, 17)


def halved(raw):
    return Raw(raw.train[:800], raw.test, 17)


WRONG = {
    "crop": (shifted, "shape: found 1×8×7, expected 1×8×8; the usual cause: another size or crop"),
    "order": (reversed_, "sha256 of the first training image: found .*: another order of the imag"),
    "filter": (rounded, "mean of channel 0: found 0.2.*, expected 0.305467; .* another crop or"),
    "count": (halved, "images in train: found 800, expected 1617; .*: missing files, or an"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_differs_is_one_line_with_the_usual_cause(case, monkeypatch, capsys):
    change, message = WRONG[case]
    raw = digits.read()
    monkeypatch.setattr(digits, "read", lambda: change(raw))
    with pytest.raises(SystemExit, match=f"digits: . of 8 numbers differ; the first is {message}"):
        check("digits")
    found = verdicts(capsys)
    assert "differs" in found.values()
    assert case != "order" or list(found.values()).count("differs") == 1  # the mean is the same


def test_of_images_that_are_made_one_by_one_they_are_the_same(monkeypatch):
    """And only a piece of them is in memory."""
    raw = digits.read()
    expected = known.measure(raw)
    monkeypatch.setattr(dataset, "PIECE", 64 * 100)
    lazy = Raw(Images(raw.train.shape, lambda: iter(raw.train)), raw.test, 17)
    assert known.measure(lazy) == expected  # sums of levels are exact
    scaled = raw.train / 16
    assert expected["mean of channel 0"] == pytest.approx(scaled.mean(), rel=1e-12)
    assert expected["std of channel 0"] == pytest.approx(scaled.std(), rel=1e-12)


def test_channels_in_another_order_differ():
    random = np.random.default_rng(0).integers(256, size=(9, 3, 4, 4), dtype=np.uint8)
    colours = random // np.array([1, 2, 4], dtype=np.uint8)[:, None, None]
    found = known.measure(Raw(colours, colours[:1], 256))
    other = known.measure(Raw(colours[:, ::-1], colours[:1], 256))
    assert found["mean of channel 0"] == other["mean of channel 2"] != found["mean of channel 2"]


def test_what_is_not_known_is_measured_and_not_judged(tmp_path, capsys):
    """A setting by its path, with images of a person's own."""
    images = np.arange(4 * 8 * 8, dtype=np.uint8).reshape(4, 8, 8)
    np.savez(tmp_path / "mine.npz", train=images, test=images)
    setting = {"like": "digits", "data": {"name": "npz", "path": str(tmp_path / "mine.npz")}}
    setting["bound"] = {"K": [10], "trajectories": ["even"], "images": 4}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(setting))
    for words in ([str(tmp_path / "mine.yaml")], ["npz", "--path", str(tmp_path / "mine.npz")]):
        check(*words)
        text = capsys.readouterr().out
        assert text.count("not judged") == 8 and text.count("| not known ") == 8
        assert "| mean of channel 0" in text and "| 0.5" in text


def test_other_options_than_the_known_ones_are_not_judged(monkeypatch):
    monkeypatch.setattr(known.dataset, "reader", lambda name: Bedroom)
    rows = known.compare("lsun_bedroom", {"path": "x", "size": 4})
    assert {row["verdict"] for row in rows} == {"not judged"}
    rows = known.compare("lsun_bedroom", {"path": "x"})
    judged = {row["quantity"]: row["verdict"] for row in rows}
    assert judged["images in test"] == judged["shape"] == "differs"
    assert judged["mean of channel 0"] == "not judged"


class Bedroom:
    """Small images, with the options of lsun_bedroom."""

    @staticmethod
    def read(path: str, size: int = 256, count: int = 50_000):
        return Raw(np.zeros((2, 3, 4, 4), np.uint8), np.zeros((1, 3, 4, 4), np.uint8), 256)


def test_every_known_number_is_one_that_is_measured_and_has_a_source():
    text = (Path(known.__file__).parent / "known.yaml").read_text()
    for name, groups in yaml.safe_load(text).items():
        assert name in dataset.READERS
        size = dataset.reader(name).size(*(["x"] if name != "digits" else []))
        quantities = set(known.measure(Raw(*[np.zeros((1, *size.shape), np.uint8)] * 2, 256)))
        for group in groups:
            assert group.pop("source") and set(group) <= quantities
        numbers = {key: value for group in groups for key, value in group.items()}
        assert numbers["shape"] == "×".join(map(str, size.shape))
        assert numbers["levels"] == size.levels
        counts = numbers["images in train"], numbers["images in test"]
        assert counts == (size.train, size.test)


@pytest.mark.parametrize(
    "words, message",
    [
        (["nowhere"], "unknown setting 'nowhere'"),
        (["digits", "--path", "x"], "data set digits: path: extra inputs are not permitted"),
        (["folder"], "data set folder: size: missing"),
        (["cifar10"], "data.path: datasets/cifar10: "),
    ],
)
def test_mistakes_are_one_line(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=f"^bench check data: error: {message}") as caught:
        check(*words)
    assert "\n" not in caught.value.code


def test_a_setting_and_a_path_name_the_reader(monkeypatch):
    """cifar10_ls reads with cifar10; --path counts before the setting's own."""
    asked = []
    monkeypatch.setattr(cifar10, "read", lambda path: asked.append(path) or digits.read())
    for words in (["cifar10_ls"], ["cifar10_ls", "--path", "there"], ["cifar10"]):
        with pytest.raises(SystemExit, match="numbers differ; the first is images in train"):
            check(*words)
    assert asked == ["datasets/cifar10", "there", "datasets/cifar10"]
