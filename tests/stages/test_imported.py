"""Images that others drew have the scores that the same images have in the tables."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from bench import cli
from bench.runtime import files, imports, paths
from bench.scores import fidelity
from bench.scores.extractors import classifier
from tests.helpers.runs import CONFIG, ROOT, snakemake

CELL = {"variant": "npr", "trajectory": "even", "K": 10}
PLACE = paths.Setting("tiny")


def fid(*words, config=CONFIG, setting="tiny"):
    cli.main(["fid", *map(str, words), "--setting", setting, "--config", config, "--threads", "1"])


def printed(capsys):
    """({metric: (value, standard error)}, {what: words of the protocol}) of the output."""
    text = capsys.readouterr().out
    rows = re.findall(r"^\| (\w+) +\| (\S+) +\| (\S+) +\| 40", text, re.MULTILINE)
    protocol = dict(re.findall(r"^([\w ]+): (.*)$", text, re.MULTILINE))
    return {metric: (float(value), float(error)) for metric, value, error in rows}, protocol


@pytest.fixture
def run(copy, monkeypatch):
    """The working folder, with a finished run of the tiny experiment."""
    monkeypatch.chdir(copy)
    return copy


def of_table():
    """{metric: (value, standard error)} of the cell."""
    rows = files.read_json(PLACE.fidelity("ddpm"))["cells"]
    rows = [row for row in rows if {key: row[key] for key in CELL} == CELL]
    return {row["metric"]: (row["value"], row["stderr"]) for row in rows}


def drawn():
    """(the file of the samples of that cell, its images)."""
    file = PLACE.samples("ddpm", "heads", "npr", "even", 10, 0)
    return file, np.load(file)["images"]


def write_pngs(images, folder):
    """A folder of 8-bit images, as others write them."""
    Path(folder).mkdir()
    for number, image in enumerate(fidelity.to_bytes(images, 17)):
        Image.fromarray(image[0]).save(Path(folder) / f"{number:05d}.png")


def test_own_samples_have_the_scores_of_the_table_to_all_digits(run, capsys):
    file, images = drawn()
    np.savez("nhwc.npz", images.transpose(0, 2, 3, 1))
    np.savez("flat.npz", other=np.zeros(3), images=images[:, 0])
    write_pngs(images, "pngs")
    for path in (file, "nhwc.npz", "flat.npz", "pngs"):
        fid(path)
        assert printed(capsys)[0] == of_table(), path


def test_the_protocol_is_said(run, capsys):
    write_pngs(drawn()[1], "pngs")
    fid("pngs")
    _, protocol = printed(capsys)
    assert protocol["images"] == "40 png of pngs, 1×8×8, 17 levels"
    about = files.read_json(PLACE.reference)["reference"]
    assert protocol["reference"] == (
        f"the first 1617 of the 1617 training images of digits; sha256 of the data "
        f"{about['sha256']}…"
    )
    assert re.match(
        r"classifier \(bench-classifier-\w+\); sha256 of classifier.safetensors [0-9a-f]{64}$",
        protocol["extractor"],
    )
    assert protocol["resizing"] == "fid: none; kid: none"
    assert "features in float32 on cpu with 1 threads" in protocol["precision"]
    assert protocol["number of images"].startswith("40 here, 1617 in the reference; FID depends on")
    assert "fidelity 1, fid 1, kid 1, torch 2" in protocol["versions"]


def test_one_command_makes_what_is_missing(run, capsys):
    """And it is what the run had: the scores are still those of the table."""
    for part in ("data", "extractor", "reference.json"):
        files.remove(PLACE.folder / part)
    fid(drawn()[0])
    captured = capsys.readouterr()
    assert f"{PLACE.reference}: missing; is made now" in captured.err
    assert "| 40" in captured.out
    fid(drawn()[0])
    assert printed(capsys)[0] == of_table()


SECTIONS = ("moments", "bound", "samples", "fidelity", "processes")


def test_a_setting_that_the_experiment_does_not_have(run, capsys):
    """By its path, with an overlay; the protocol is its own."""
    tiny = yaml.safe_load(Path(CONFIG).read_text())["settings"]["tiny"]
    own = {"like": "tiny", **{key: tiny[key] for key in SECTIONS}}
    own["fidelity"] |= {"reference_images": 500}
    Path("mine.yaml").write_text(yaml.safe_dump(own))
    Path("overlay.yaml").write_text(
        "{name: other, metrics: [fid, precision], settings+: [fashion_mnist]}\n"
    )
    words = ["--configfile", "overlay.yaml"]
    fid(drawn()[0], *words, config=str(ROOT / "params.yaml"), setting="mine.yaml")
    values, protocol = printed(capsys)
    assert list(values) == ["fid", "precision"] and values["fid"][0] > 0
    assert protocol["reference"].startswith("the first 500 of the 1617 training images of digits")
    assert Path("results/mine/reference.json").exists()
    files.write_json("results/mine/reference.json", {})
    with pytest.raises(SystemExit, match="make it again with: (.*)$") as caught:
        fid(drawn()[0], *words, config=str(ROOT / "params.yaml"), setting="mine.yaml")
    command = shlex.split(caught.value.code.rpartition("with: ")[2])[1:]
    assert snakemake(run, "--dry-run", *command).returncode == 0


def test_an_unknown_setting_is_one_line(run):
    with pytest.raises(SystemExit, match="unknown setting 'tinny'; did you mean 'tiny'"):
        fid("x", setting="tinny", config=str(ROOT / "params.yaml"))
    with pytest.raises(SystemExit, match="unknown setting 'digits' .known: tiny."):
        fid("x", setting="digits")


def with_one(*image):
    """A function that writes the images of the cell as a folder, and another one among them."""

    def write(folder):
        write_pngs(drawn()[1], folder)
        Image.new(*image).save(Path(folder) / "7.png")

    return write


def an_array(*array):
    """A function that writes an array to an npz file; array: arguments of `numpy.full`."""

    def write(path):
        with open(path, "wb") as file:
            np.savez(file, np.full(*array))

    return write


WRONG = {
    "another size": (
        with_one("L", (16, 8)),
        "7.png: found 16×8 pixels of mode L, expected 8×8 of mode L; images are not resized, cr",
    ),
    "colour": (with_one("RGB", (8, 8)), "pixels of mode RGB, expected 8×8 of mode L; images are"),
    "a level between": (with_one("L", (8, 8), 17), "7.png: found the value 17, which is none of t"),
    "another shape": (
        an_array((5, 3, 8, 8), 0, np.uint8),
        r"found uint8 .5, 3, 8, 8., expected uint8 .n, 1, 8, 8. or .n, 8, 8, 1. or .n, 8, 8.; im",
    ),
    "floats": (an_array((5, 1, 8, 8), 0.5), "found float64"),
    "8 bits": (an_array((5, 1, 8, 8), 255, np.uint8), "found level 255, expected levels 0..16"),
    "too few": (an_array((3, 1, 8, 8), 1, np.uint8), "found 3 images, expected at least 4"),
    "nothing there": (lambda path: None, "no such file or folder; expected a folder of images, or"),
    "no images": (lambda path: Path(path).mkdir(), "found 0 images below it; expected at least 1"),
    "no archive": (lambda path: Path(path).write_text("x"), "truncated or not readable"),
}


@pytest.mark.parametrize("case", WRONG)
def test_other_images_are_refused_in_one_line(case, run):
    make, message = WRONG[case]
    make("other")
    with pytest.raises(SystemExit, match=f"^bench fid: error: other.*{message}") as caught:
        fid("other")
    assert "\n" not in caught.value.code


def test_a_reference_of_another_configuration_is_refused(run):
    text = Path(CONFIG).read_text().replace("reference_images: null", "reference_images: 100")
    Path("other.yaml").write_text(text)
    with pytest.raises(SystemExit, match=r"reference.json: found the reference .*'n': 1617.*make"):
        fid(drawn()[0], config="other.yaml")


def test_fid_is_torch_fidelitys(run, capsys):
    """From the same features, by its own formula."""
    imports.declare_torchvision()
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    network = classifier.load(PLACE.extractor)
    sets = drawn()[1], np.load(PLACE.data / "train.npy")
    of_sets = [fidelity.features(network, images, 17)["features"] for images in sets]
    statistics = [fid_features_to_statistics(torch.from_numpy(each)) for each in of_sets]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    fid(drawn()[0])
    assert printed(capsys)[0]["fid"][0] == pytest.approx(theirs, rel=1e-5)
