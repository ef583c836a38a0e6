"""Names become files, folders and words of a command line, so they have letters only."""

import json
import os
import shutil

import pytest
import yaml

from bench.mean import storage
from bench.mean.train import make_unet
from tests.helpers.models import OPTIONS
from tests.helpers.runs import ROOT, TINY, snakemake

NAMES = {
    "a command": "tiny&touch pwned&",
    "back-quotes": "`touch pwned`",
    "a substitution": "$(touch pwned)",
    "the folder above": "..",
    "this folder": ".",
    "a path": "../outside",
    "an absolute path": "/tmp/outside",
    "hidden": ".hidden",
    "an option": "--debug",
    "a blank": "a b",
    "a new line": "tiny\n",
    "no name": "",
    "no ASCII": "tīny",
    "too long": "a" * 101,
}
EXPECTED = "expected a name of at most 100 letters, digits, - and _, of which the first is a letter"


@pytest.mark.parametrize("case", NAMES)
def test_settings_of_a_resolved_configuration(case, configured, refuse):
    """`bench data` would write to, and first empty, a folder of this name."""
    folder = configured({})
    raw = yaml.safe_load((folder / "config.yaml").read_text())
    raw["settings"] = {NAMES[case]: raw["settings"]["tiny"]}
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))
    refuse(folder, ["data", f"--setting={NAMES[case]}", "--config", "config.yaml"], EXPECTED)


@pytest.mark.parametrize("case", NAMES)
def test_the_experiment(case, configured, refuse):
    folder = configured({"name": NAMES[case]})
    refuse(folder, ["config", "--config", "config.yaml"], f"config.yaml: name: {EXPECTED}")


@pytest.mark.parametrize("name", ["..", "/etc", "../../x", "tiny/../.."])
def test_settings_on_the_command_line(name, configured, refuse):
    arguments = ["data", "--setting", name, "--config", "config.yaml"]
    refuse(configured({}), arguments, f"unknown setting '{name}' (known: tiny)")


@pytest.mark.parametrize("name", ["plots", "figures", "pages", "tiny-tables"])
def test_settings_called_as_tables(name, configured, refuse):
    folder = configured({})
    text = (folder / "config.yaml").read_text().replace("  tiny:", f"  {name}:")
    (folder / "config.yaml").write_text(text)
    message = f"expected another name than that of a folder of tables, found '{name}'"
    refuse(folder, ["config", "--config", "config.yaml"], message)


def test_the_file_of_a_setting_through_snakemake(tmp_path):
    """The name would be a word of every rule's shell line."""
    name = "tiny&touch pwned&`touch pwned`"
    shutil.copy(ROOT / "workflows" / "settings" / "tiny.yaml", tmp_path / f"{name}.yaml")
    overlay = yaml.safe_load(TINY.read_text()) | {"settings": [f"{name}.yaml"]}
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    run = snakemake(tmp_path, "all", "--configfile", "overlay.yaml")
    assert run.returncode == 1 and EXPECTED in run.stderr and "Traceback" not in run.stderr
    assert not (tmp_path / "pwned").exists() and not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", ".."])
def test_heads_of_a_foreign_checkpoint(name, copy, refuse):
    """mean.json lists the heads; each would be a file of this name in results/."""
    storage.save(make_unet(OPTIONS, (1, 8, 8)), "epsilon", copy / "foreign", source="them")
    about = json.loads((copy / "foreign" / "mean.json").read_text())
    (copy / "foreign" / "mean.json").write_text(json.dumps(about | {"heads": [name]}))
    raw = yaml.safe_load((copy / "results" / "tiny-tables" / "config.yaml").read_text())
    raw["settings"]["tiny"]["mean"] = {"checkpoint": "foreign"}
    (copy / "config.yaml").write_text(yaml.safe_dump(raw))
    arguments = ["mean", "--setting", "tiny", "--config", "config.yaml"]
    refuse(copy, arguments, f"foreign/mean.json: heads.0: {EXPECTED}")


def folder_there(path):
    (path / "kept").mkdir(parents=True)


def link_there(path):
    (path.parent / "kept.txt").write_text("kept")
    path.symlink_to("kept.txt")


def device_there(path):
    path.symlink_to("/dev/full")


OUTPUTS = {
    "a folder": (folder_there, "found a folder"),
    "a link": (link_there, "found a link"),
    "a link to a device": (device_there, "found a link"),
    "a FIFO": (os.mkfifo, "found a FIFO"),
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_outputs_that_are_no_file(case, configured, refuse):
    arrange, message = OUTPUTS[case]
    folder = configured({})
    arrange(folder / "out")
    refuse(
        folder,
        ["config", "--config", "config.yaml", "--output", "out"],
        f"--output: out: {message}",
    )
    assert os.path.lexists(folder / "out")


def test_output_into_a_device(configured, refuse):
    arguments = ["config", "--config", "config.yaml", "--output", "/dev/full"]
    refuse(configured({}), arguments, "--output: /dev/full: found a device, expected a file or")
