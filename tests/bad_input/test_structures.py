"""Files of a finished run that hold JSON of another structure, or tables without their columns."""

import json

import pandas
import pytest

from tests.helpers.runs import CONFIG

SETTING = ["--setting", "tiny"]
DDIM = [*SETTING, "--process", "ddim"]
TOP = {"nothing": "null", "a list": "[]", "a number": "1", "a text": '"x"', "no end": '{"a": '}
EMPTY = {"nothing inside": "{}"}

# file: the command that reads it
READERS = {
    "data/data.json": ["moments", *SETTING],
    "mean/mean.json": ["moments", *SETTING],
    "mean/unet/config.json": ["moments", *SETTING],
    "heads/heads.json": ["bound", *SETTING],
    "trajectories/even.json": ["bound", *SETTING],
    "extractor/extractor.json": ["reference", *SETTING],
    "reference.json": ["fidelity", *DDIM],
    "fidelity/ddim.json": ["cells"],
}
MESSAGES = {
    ("trajectories/even.json", "nothing inside"): "trajectories/even.json: holds no trajectory",
    ("mean/unet/config.json", "nothing inside"): "results/tiny/mean/unet: corrupt or truncated (Er",
}
CASES = [(file, case) for file in READERS for case in TOP | EMPTY]


@pytest.mark.parametrize("file, case", CASES)
def test_other_structures(file, case, copy, refuse):
    path = f"results/tiny/{file}"
    (copy / path).write_text((TOP | EMPTY)[case])
    refuse(copy, [*READERS[file], "--config", CONFIG], MESSAGES.get((file, case), f"{path}: "))


# file of a table: (command that reads it, the column that it lacks)
TABLES = {
    "tiny/bound.parquet": (["cells"], "K"),
    "tiny-tables/cells.csv": (["tables"], "value"),
    "tiny-tables/paired.csv": (["tables"], "best"),
}


@pytest.mark.parametrize("file", TABLES)
def test_tables_with_other_columns(file, copy, refuse):
    arguments, column = TABLES[file]
    path = copy / "results" / file
    if path.suffix == ".csv":
        pandas.read_csv(path).rename(columns={column: "it"}).to_csv(path, index=False)
    else:
        pandas.read_parquet(path).rename(columns={column: "it"}).to_parquet(path, index=False)
    message = f"results/{file}: column {column!r}: missing; make it again with: snakemake"
    refuse(copy, [*arguments, "--config", CONFIG], message)


def change(*keys, value):
    """Sets what the keys lead to."""

    def changed(content):
        *outer, last = keys
        place = content
        for key in outer:
            place = place[key]
        place[last] = value

    return changed


# what is wrong: (file, change, message)
CHANGES = {
    "levels of a text": ("data/data.json", change("levels", value="many"), "levels: input should"),
    "levels below 2": (
        "data/data.json",
        change("levels", value=1),
        "levels: input should be great",
    ),
    "a side of 0": ("data/data.json", change("shape", value=[1, 0, 8]), "shape.1: input should be"),
    "two sides": ("data/data.json", change("shape", value=[8, 8]), "shape.2: missing"),
    "unknown prediction": (
        "mean/mean.json",
        change("prediction_type", value="noise"),
        "prediction_type: input should be 'epsilon', 'sample' or 'v_prediction', found 'noise'",
    ),
    "heads that are no list": ("mean/mean.json", change("heads", value="npr"), "heads: input sho"),
    "timesteps from 2": (
        "mean/mean.json",
        change("timesteps", value={"first": 2, "rescaled": True}),
        "timesteps.first: input should be less than or equal to 1, found 2",
    ),
    "an oracle without a number": (
        "mean/mean.json",
        change("oracle", value={"imperfection": "small"}),
        "oracle.imperfection: input should be a valid number, found 'small'",
    ),
    "unknown mode": (
        "heads/heads.json",
        change("targets", value={"npr": "huge"}),
        "targets.npr: input should be 'simple', 'complex' or 'mlp', found 'huge'",
    ),
    "a head that is a path": (
        "heads/heads.json",
        change("targets", value={"../npr": "simple"}),
        "expected a name of at most 100 letters",
    ),
    "steps that are no numbers": (
        "trajectories/even.json",
        change("*", "5", value=[1, "two", 100]),
        "*.5.1: input should be a valid integer, found 'two'",
    ),
    "steps that are true": (
        "trajectories/even.json",
        change("*", "5", value=[True, 100]),
        "*.5.0: input should be a valid integer, found True",
    ),
    "K that is no number": ("trajectories/even.json", change("*", "five", value=[1]), "*.five."),
    "no such extractor": (
        "reference.json",
        change("views", "own", value={}),
        "views.own.extractor: missing",
    ),
    "no held-out images": ("reference.json", change("test_images", value=0), "test_images: input"),
    "a score of a text": (
        "fidelity/ddim.json",
        change("cells", 0, "value", value="good"),
        "cells.0.value: input should be a valid number, found 'good'",
    ),
    "a score of no K": ("fidelity/ddim.json", change("cells", 0, "K", value=None), "cells.0.K: "),
    "classes that are no number": (
        "extractor/extractor.json",
        change("classes", value="ten"),
        "classes: input should be a valid integer, found 'ten'",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_other_values(case, copy, refuse):
    file, changed, message = CHANGES[case]
    path = copy / "results" / "tiny" / file
    content = json.loads(path.read_text())
    changed(content)
    path.write_text(json.dumps(content))
    line = refuse(copy, [*READERS[file], "--config", CONFIG], message)
    assert f"results/tiny/{file}: " in line and "make it again with: snakemake" in line
