"""The workflow in other folders, in folders with awkward names, with a person's own settings."""

import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

from bench.experiment import loading
from tests.helpers.runs import ROOT, TINY, environment, snakemake

AWKWARD = "my projects ü $(touch pwned)"


def workflow(folder, command, *arguments):
    """Runs the Snakefile of a clone as `command` says, in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *command, "--cores", "1", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
    )


@pytest.fixture
def clone(tmp_path):
    """The workflow in a folder with an awkward name; in it `mine`, with a setting."""
    folder = tmp_path / AWKWARD
    for name in ("Snakefile", "params.yaml", "workflows"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        folder.mkdir(exist_ok=True)
        copy(ROOT / name, folder / name)
    (folder / "mine").mkdir()
    shutil.copy2(folder / "workflows" / "settings" / "tiny.yaml", folder / "mine" / "own.yaml")
    overlay = yaml.safe_load(TINY.read_text()) | {"name": "mine", "settings": ["own.yaml"]}
    (folder / "mine" / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    return folder


TARGETS = ["results/own/data", "results/own/trajectories/even.json", "results/table3.csv"]


@pytest.mark.parametrize("way", ["--directory", "cd"])
def test_another_folder_with_an_awkward_name(clone, way):
    mine = clone / "mine"
    if way == "cd":
        folder, command, overlay = mine, ["--snakefile", "../Snakefile"], "overlay.yaml"
    else:
        folder, command = clone.parent, ["--snakefile", f"{AWKWARD}/Snakefile"]
        command += ["--directory", f"{AWKWARD}/mine"]
        overlay = f"{AWKWARD}/mine/overlay.yaml"
    found = workflow(folder, command, *TARGETS, "--configfile", overlay)
    assert found.returncode == 0, found.stderr[-3000:]
    for target in TARGETS:
        assert (mine / target).exists()
    resolved = yaml.safe_load((mine / "results" / "mine-tables" / "config.yaml").read_text())
    assert resolved["name"] == "mine" and list(resolved["settings"]) == ["own"]
    assert (mine / "results" / ".logs" / "own" / "data.log").exists()
    assert not list(clone.parent.rglob("pwned"))


def test_a_table_of_another_experiment_is_one_line_that_says_what_to_type(tmp_path):
    found = snakemake(tmp_path, "results/table1.csv", "--configfile", str(TINY))
    assert found.returncode == 1 and "Traceback" not in found.stderr
    (line,) = [line for line in found.stderr.splitlines() if line.startswith("error:")]
    assert "'default'" in line and "'tiny'" in line
    command = shlex.split(line.split("type: ")[1])
    typed = subprocess.run(
        [sys.executable, "-m", *command, "--dry-run"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert typed.returncode == 0 and "results/tiny-tables/table1.csv" in typed.stdout


def test_the_default_experiment_makes_all_its_tables(tmp_path):
    """By the names of README, and by the target that names no path."""
    for target in ("results/table1.csv", "tables", "all"):
        found = snakemake(tmp_path, target, "--dry-run")
        assert found.returncode == 0, found.stderr
        for table in ("results/table1.csv", "results/table3.csv", "results/metrics.json"):
            assert table in found.stdout


def test_an_overlay_adds_to_lists(tmp_path):
    """In every setting that has the list, through Snakemake as through `bench config`."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    for process in raw["processes"].values():
        process["variants"] = ["analytic_scalar"]
    added = {
        "name": "added",
        "settings+": ["lsun_bedroom"],
        "processes": {"ddpm": {"variants+": ["beta"]}, "ddim": {"variants+": ["zero"]}},
        "bound": {"K+": [500]},
        "metrics": ["fid"],
    }
    files = {"params.yaml": raw, "overlay.yaml": added}
    for name, value in files.items():
        (tmp_path / name).write_text(yaml.safe_dump(value))
    (tmp_path / "workflows").symlink_to(ROOT / "workflows")
    shutil.copy2(ROOT / "Snakefile", tmp_path / "Snakefile")
    experiment = loading.load(tmp_path / "params.yaml", [tmp_path / "overlay.yaml"])
    digits, bedroom = experiment.setting("digits"), experiment.setting("lsun_bedroom")
    assert digits.variants("ddpm") == ["analytic_scalar", "beta"]
    assert digits.variants("ddim") == ["analytic_scalar", "zero"]
    assert [*raw["bound"]["K"], 500] == digits.bound.K
    assert bedroom.variants("ddpm")[-1] == "beta" and len(bedroom.variants("ddpm")) > 1
    target = "results/digits/bound.parquet"
    found = workflow(tmp_path, [], target, "--dry-run", "--configfile", "overlay.yaml")
    assert found.returncode == 0, found.stdout + found.stderr


def test_lint_asks_for_nothing_but_environments():
    """Each rule runs the installed package: see the head of workflows/rules/common.smk."""
    found = snakemake(ROOT, "--lint")
    titles = [line for line in found.stderr.splitlines() if line.startswith("    * ")]
    assert set(titles) == {"    * Specify a conda environment or container for each rule.:"}
