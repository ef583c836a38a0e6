"""Readers, extractors and formats of another package work wherever those of this tree do."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from bench import cli
from bench.data import dataset
from bench.experiment import loading
from bench.mean import formats
from bench.runtime import files
from bench.runtime.errors import BenchError
from bench.scores import extractors
from tests.helpers.runs import ROOT, bench
from tests.mean.formats import test_pytorch_diffusion as ddim

FACES = """
import numpy as np

from bench.data.dataset import Raw, Size

PLACE = "nothing: the images are drawn"


def read(count: int = 40):
    images = np.random.default_rng(0).integers(256, size=(count, 1, 8, 8), dtype=np.uint8)
    return Raw(images[10:], images[:10], 256)


def size(count: int = 40):
    return Size((1, 8, 8), count - 10, 10, labels=False)


class Drawn:
    read = staticmethod(read)
    size = staticmethod(size)


class Later:
    def read(self, seed: int):
        return read()


later = Later()
"""
PIXELS = """
from torch import nn

from bench.runtime import files
from bench.scores.extractors import register


def prepare(data, section, names, folder, checkpoint, on_loss=None):
    files.write_json(folder / "extractor.json", {"name": "pixels"})


def load(folder):
    return register("pixels", ["pixels"], nn.Flatten(), lambda net, x: (net(x).float(),))
"""
RENAMED = """
from bench.mean.formats import pytorch_diffusion


def read(state):
    return pytorch_diffusion.read({key.removeprefix("mine."): state[key] for key in state})
"""
ENTRY_POINTS = """
[bench.readers]
drawn = outsiders.faces
[bench.extractors]
pixels = outsiders.pixels
[bench.formats]
renamed = outsiders.renamed
"""


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """The package `outsiders` in a folder on the path, with entry points, as if it was installed;
    returns the working folder.
    """
    installed = tmp_path / "installed"
    for name, text in {"faces": FACES, "pixels": PIXELS, "renamed": RENAMED}.items():
        files.write_text(installed / "outsiders" / f"{name}.py", text)
    about = installed / "outsiders-1.0.dist-info"
    files.write_text(about / "METADATA", "Name: outsiders\nVersion: 1.0\n")
    files.write_text(about / "entry_points.txt", ENTRY_POINTS)
    for module in [name for name in sys.modules if name.partition(".")[0] == "outsiders"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(installed)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def overlay(reader="outsiders.faces", extractor="outsiders.pixels"):
    """Writes a small experiment of them, outside.yaml, and returns the options that name it."""
    setting = {
        "like": "tiny",
        "data": {"name": reader, "count": 60},
        "heads": None,
        "extractor": {"name": extractor, "train": None},
        "processes": {"ddpm": {"variants": ["beta"]}},
        "bound": {"K": [5], "trajectories": ["even"], "images": 4},
        "samples": {"K": [5], "trajectories": ["even"], "count": 8},
        "fidelity": {"target_fid": 1.0, "resamples": 2},
    }
    changes = {"name": "outside", "settings": {"drawn": setting}}
    files.write_text("outside.yaml", yaml.safe_dump(changes))
    return ["--config", str(ROOT / "params.yaml"), "--configfile", "outside.yaml"]


@pytest.mark.parametrize(
    "reader, extractor",
    [("drawn", "pixels"), ("outsiders.faces", "outsiders.pixels"), (None, "outsiders:pixels")],
    ids=["entry points", "modules", "objects"],
)
def test_a_setting_of_them_goes_from_its_data_to_its_scores(reader, extractor, package, capsys):
    import outsiders.pixels  # noqa: F401 - makes the submodule an attribute of the package

    if reader is None:
        text = (
            FACES
            + "\n\nclass Drawn:\n    read = staticmethod(read)\n    size = staticmethod(size)\n"
        )
        files.write_text(package / "installed" / "outsiders" / "faces.py", text)
        reader = "outsiders.faces:Drawn"
    options = overlay(reader, extractor)
    cli.main(["config", *options, "--output", "c.yaml"])
    experiment = loading.load("c.yaml")
    assert experiment.digest() == loading.load(options[1], [options[3]]).digest()
    setting = yaml.safe_load(Path("c.yaml").read_text())["settings"]["drawn"]
    assert setting["data"]["name"] == reader and setting["extractor"]["name"] == extractor
    cli.main(["plan", *options, "--images-per-second", "100"])
    plan = capsys.readouterr().out
    assert f"drawn: not counted: the features of extractor {extractor!r}" in plan
    assert "size of its data is not known" not in plan
    of_setting = ["--config", "c.yaml", "--setting", "drawn"]
    for stage in ("data", "mean", "trajectories", "extractor", "reference"):
        cli.main([stage, *of_setting])
    assert dataset.read_about(Path("results/drawn/data"))["name"] == reader
    for stage in ("samples", "fidelity"):
        cli.main([stage, *of_setting, "--process", "ddpm"])
    rows = json.loads(Path("results/drawn/fidelity/ddpm.json").read_text())["cells"]
    assert {row["extractor"] for row in rows} == {"pixels"} and np.isfinite(rows[0]["value"])


def test_an_object_may_have_the_functions_as_methods():
    model = dataset.options("outsiders.faces:later")
    assert list(model.model_fields) == ["seed"]
    assert len(dataset.reader("outsiders.faces:later").read(1).train) == 30


def test_fetch_says_what_a_reader_says_of_its_files():
    with pytest.raises(SystemExit, match="drawn has no download; place in datasets/drawn: nothing"):
        cli.main(["fetch", "drawn"])
    with pytest.raises(SystemExit, match=r"place in datasets/outsiders.faces: nothing: the images"):
        cli.main(["fetch", "outsiders.faces"])


@pytest.mark.parametrize("name", ["renamed", "outsiders.renamed"])
def test_a_checkpoint_is_imported_by_a_format_of_another_package(name):
    state = ddim.random_state()
    torch.save({f"mine.{key}": value for key, value in state.items()}, "model.pth")
    cli.main(["import", "model.pth", "--format", name])
    assert json.loads(Path("model/mean.json").read_text())["format"] == name


WRONG = [
    ("drwn", "unknown data set 'drwn'; did you mean 'drawn'"),
    ("nowhere.at_all", "'nowhere.at_all' cannot be imported .No module named 'nowhere'.; exp"),
    ("outsiders.faces:Nobody", "cannot be imported .*has no attribute 'Nobody'"),
    ("outsiders.pixels", "'outsiders.pixels': read: missing; expected a function that outsiders"),
    ("a/b:c d", "unknown data set 'a/b:c d'"),
]


@pytest.mark.parametrize("name, message", WRONG, ids=[name for name, _ in WRONG])
def test_a_wrong_name_is_one_line(name, message):
    with pytest.raises(BenchError, match=f"settings.drawn: .*{message}") as caught:
        loading.load(*[overlay(reader=name)[1], ["outside.yaml"]])
    assert "\n" not in str(caught.value)


def test_each_kind_says_what_it_lacks():
    with pytest.raises(BenchError, match="extractor 'outsiders.faces': prepare: missing"):
        extractors.check("outsiders.faces")
    with pytest.raises(BenchError, match="format 'outsiders.pixels': read: missing"):
        formats.get("outsiders.pixels")


def test_arguments_that_cannot_be_checked_are_one_line(package):
    text = FACES.replace("count: int = 40", "count: Missing = 40", 1)
    files.write_text(
        package / "installed" / "outsiders" / "strange.py",
        "from __future__ import annotations\n" + text,
    )
    with pytest.raises(BenchError, match="the arguments of read cannot be checked .*Missing"):
        dataset.options("outsiders.strange")


def test_bench_config_needs_no_more_than_the_path(package):
    """In a process of its own, where nothing has imported the package."""
    found = bench(package, "config", *overlay(), PYTHONPATH=f"{ROOT}:{package / 'installed'}")
    assert found.returncode == 0 and "name: outsiders.faces" in found.stdout, found.stderr
