"""A finished run in which something was damaged: it is named, and the command that is printed
mends it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import cli
from bench.runtime import files
from tests.helpers.runs import CONFIG, TABLES, environment

SETTING = ["--config", CONFIG, "--setting", "tiny"]
ALL = ["--config", CONFIG]
FIDELITY = ["fidelity", *SETTING, "--process", "ddim"]
CELL = "results/tiny/samples/ddim/nothing/zero/even_K5/0.npz"

# What is damaged, and the stage that reads it.
READ = {
    "results/tiny/moments/eps_sq_mean.npy": ["trajectories", *SETTING, "--kind", "optimal"],
    "results/tiny/data/train.npy": ["moments", *SETTING],
    "results/tiny/data/test.npy": ["bound", *SETTING],
    "results/tiny/data/train_labels.npy": ["mean", *SETTING],
    "results/tiny/data/data.json": ["mean", *SETTING],
    "results/tiny/mean/unet/diffusion_pytorch_model.safetensors": ["moments", *SETTING],
    "results/tiny/mean/unet/config.json": ["moments", *SETTING],
    "results/tiny/heads/npr.safetensors": ["bound", *SETTING],
    "results/tiny/extractor/classifier.safetensors": FIDELITY,
    "results/tiny/trajectories/even.json": ["bound", *SETTING],
    "results/tiny/bound.parquet": ["cells", *ALL],
    "results/tiny/fidelity/ddpm.json": ["cells", *ALL],
    "results/tiny/reference.json": FIDELITY,
    CELL: FIDELITY,
    "features.npy": FIDELITY,
    f"{TABLES}/cells.csv": ["tables", *ALL],
    f"{TABLES}/paired.csv": ["tables", *ALL],
    f"{TABLES}/table1.csv": ["log", TABLES],
}


@pytest.fixture
def run(copy, monkeypatch):
    monkeypatch.chdir(copy)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return copy


def refused(arguments):
    """The one line with which a command ends."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    line = caught.value.code
    assert isinstance(line, str) and line.startswith(f"bench {arguments[0]}: error: ")
    assert "\n" not in line
    return line


def find(name):
    """The file of that name: features lie in a folder that is named by a digest."""
    return next(Path("results/.features").rglob(name)) if "/" not in name else Path(name)


def flip(path):
    """Flips the lowest bit in the middle of a file: of a digit in a text."""
    content, place = bytearray(path.read_bytes()), path.stat().st_size // 2
    while path.suffix in (".json", ".csv") and not chr(content[place]).isdigit():
        place += 1
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", READ)
def test_a_flipped_bit_is_never_a_result(run, name):
    path = find(name)
    flip(path)
    before = {one: one.read_bytes() for one in Path("results").rglob("*") if one.is_file()}
    line = refused(READ[name])
    assert f" {path}: corrupt or truncated (found SHA-256 " in line
    assert "; make it again with: snakemake --cores all --forcerun results/" in line
    after = {one: one.read_bytes() for one in Path("results").rglob("*") if one.is_file()}
    assert after == before


def cut_in_a_line(path):
    path.write_bytes(path.read_bytes()[:-40])


def rewritten(path, change):
    """A file or folder that was written by the harness, record and all, with `change` made to it:
    what no digest can tell.
    """
    with files.writing(path) as partial:
        (shutil.copytree if path.is_dir() else shutil.copy)(path, partial)
        (partial / ".record").unlink(missing_ok=True) if partial.is_dir() else None
        change(partial)


def samples(change):
    """A change of the images of a file of samples, whose digest stays."""

    def write(partial):
        arrays = files.read_npz(CELL)
        with open(partial, "wb") as file:
            np.savez(file, images=change(arrays["images"]), digest=arrays["digest"])

    return lambda: rewritten(Path(CELL), write)


def labels():
    def shorten(partial):
        np.save(partial / "train_labels.npy", np.load(partial / "train_labels.npy")[:-1])

    rewritten(Path("results/tiny/data"), shorten)


def features(split, change):
    def write(partial):
        np.save(partial / "features.npy", change(np.load(partial / "features.npy")))

    def damage():
        views = files.read_json("results/tiny/reference.json")["views"]
        rewritten(Path(views["own"][split]), write)

    return damage


def steps():
    path = Path("results/tiny/trajectories/even.json")
    saved = files.read_json(path)
    files.write_json(path, {"*": {**saved["*"], "5": [0, 3, 2, 50, 100]}})


def optimal():
    path = Path("results/tiny/trajectories/optimal.json")
    saved = files.read_json(path)
    files.write_json(path, saved | {"beta": {**saved["beta"], "5": [1, 3, 3, 50, 100]}})


def columns():
    frame = files.read_csv(f"{TABLES}/cells.csv")
    files.write_csv(f"{TABLES}/cells.csv", frame.drop(columns="value"))


SENSELESS = {
    "steps": (
        steps,
        ["bound", *SETTING],
        "even.json: *.5.0: input should be greater than or equal to 1, found 0",
    ),
    "optimal steps": (
        optimal,
        ["bound", *SETTING],
        "expected 5 ascending steps, the last of which is 100",
    ),
    "columns": (columns, ["tables", *ALL], "cells.csv: column 'value': missing; make it again"),
    "shape": (
        samples(lambda images: images[:, :, :7]),
        FIDELITY,
        "found uint8 (40, 1, 7, 8), expected uint8 (40, 1, 8, 8)",
    ),
    "count": (
        samples(lambda images: images[:-1]),
        FIDELITY,
        "found uint8 (39, 1, 8, 8), expected uint8 (40, 1, 8, 8)",
    ),
    "type": (samples(lambda images: images.astype(np.int16)), FIDELITY, "found int16 (40, 1, 8"),
    "labels": (
        labels,
        ["mean", *SETTING],
        "found (1616,) labels, expected one for each of the 1617 images",
    ),
    "narrow features": (
        features("train", lambda rows: rows[:, :-1]),
        FIDELITY,
        "the reference has 63 features, but the images have 64",
    ),
    "few features": (
        features("test", lambda rows: rows[:-1]),
        FIDELITY,
        "found 39 rows, expected 40",
    ),
}


@pytest.mark.parametrize("case", SENSELESS)
def test_what_no_digest_can_tell_makes_sense(run, case):
    damage, arguments, message = SENSELESS[case]
    damage()
    line = refused(arguments)
    assert message in line and "; make it again with: " in line


def bad_checksum(path):
    """Of the member `images` of an npz file, not of `digest`."""
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda: bad_checksum(Path(CELL)),
        lambda: Path(CELL).with_name(".0.npz.record").unlink(),
        samples(lambda images: images[:-1]),
        samples(lambda images: images.astype(np.int16)),
    ],
)
def test_samples_that_are_kept_are_whole(run, tiny_run, capsys, damage):
    """What is damaged is drawn again, to the same byte, and nothing else."""
    others = [path for path in Path("results/tiny/samples").rglob("*.npz") if path != Path(CELL)]
    before = {path: path.stat().st_mtime_ns for path in others}
    damage()
    cli.main(["samples", *SETTING, "--process", "ddim", "--needs", "nothing"])
    assert Path(CELL).read_bytes() == (tiny_run / CELL).read_bytes()
    assert {path: path.stat().st_mtime_ns for path in others} == before
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "drawn again" in line]
    assert line.startswith(f"{CELL}: ")


COMMAND = re.compile(
    r"; make it(?: again)? with: (?:rm -r (?P<deleted>.+) && )?"
    r"snakemake --cores all --forcerun (?P<target>\S+) (?P<options>.*)-- (?P=target)$"
)


def mend(run, damaged):
    """Damages files, each in a copy of the results of its own, and then all of them. Types the
    commands that the errors print as one, as Snakemake takes several targets. What is made of what
    was damaged is newer: so the command forces the target.

    damaged: {name of a file: what damages it}.
    """
    found = []
    for name, damage in damaged.items():
        whole = shutil.copytree("results", run / "whole")
        damage(find(name))
        found.append(COMMAND.search(refused(READ.get(name, FIDELITY))))
        shutil.rmtree("results")
        whole.rename("results")
    paths = [find(name) for name in damaged]
    for path, damage in zip(paths, damaged.values(), strict=True):
        damage(path)
    for command in found:
        for folder in (command["deleted"] or "").split():
            shutil.rmtree(folder)
    (options,) = {command["options"] for command in found}
    targets = " ".join(command["target"] for command in found)
    typed = f"snakemake --cores all --forcerun {targets} {options}-- {targets}"
    finished = subprocess.run(
        typed, shell=True, cwd=run, env=environment(), capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr[-4000:]
    return paths


@pytest.mark.slow
def test_every_command_that_an_error_prints_mends_what_it_names(run, tiny_run):
    """What is scored and what the tables are made of."""
    features_narrower = features("train", lambda rows: rows[:, :-1])
    damaged = {
        "results/tiny/extractor/classifier.safetensors": flip,
        "results/tiny/extractor/extractor.json": os.unlink,
        "features.npy": lambda path: features_narrower(),
        "results/tiny/bound.parquet": flip,
        CELL: lambda path: os.truncate(path, 20),
        "results/tiny/fidelity/ddpm.json": flip,
        f"{TABLES}/cells.csv": cut_in_a_line,
    }
    for path in mend(run, damaged):
        assert path.read_bytes() == (tiny_run / path).read_bytes(), path
    cli.main(["tables", *ALL])


@pytest.mark.slow
def test_the_commands_that_make_data_networks_and_estimates_mend_them(run, tiny_run):
    """What the other test does not make again."""
    damaged = {
        "results/tiny/data/train.npy": flip,
        "results/tiny/data/train_labels.npy": flip,
        "results/tiny/mean/unet/diffusion_pytorch_model.safetensors": flip,
        "results/tiny/moments/eps_sq_mean.npy": flip,
        "results/tiny/heads/npr.safetensors": flip,
        "results/tiny/trajectories/even.json": flip,
    }
    for path in mend(run, damaged):
        assert path.read_bytes() == (tiny_run / path).read_bytes(), path
    cli.main(["trajectories", *SETTING])


def test_a_stage_twice_at_once(run, tiny_run):
    """One works, the other waits; neither finds half of what the other writes."""
    command = [sys.executable, "-m", "bench", "data", *SETTING]
    started = [
        subprocess.Popen(command, cwd=run, env=environment(), stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [one.wait() for one in started] == [0, 0, 0], [one.stderr.read() for one in started]
    names = [path.name for path in (tiny_run / "results/tiny/data").iterdir()]
    for name in names:
        if not name.startswith("."):
            made = run / "results/tiny/data" / name
            assert made.read_bytes() == (tiny_run / "results/tiny/data" / name).read_bytes()
    cli.main(["trajectories", *SETTING])  # which reads them
