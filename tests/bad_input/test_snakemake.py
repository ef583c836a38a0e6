"""Overlays through Snakemake, which reads them itself, before anything runs."""

import pytest

from tests.helpers.runs import TINY, snakemake

# what is wrong: (what is added to the tiny experiment, message)
OVERLAYS = {
    "key misspelt": (
        "moments: {drwas: 3}",
        "bad.yaml: moments.drwas: unknown key 'drwas'; did you mean 'draws'? "
        "(known: draws, relative_error)",
    ),
    "a key twice": (
        "bound: {images: 5, images: 6}",
        "bad.yaml: not valid YAML (line 1: the key 'images' stands there twice)",
    ),
    "10¹⁵ images": (
        "samples: {count: 1000000000000000}",
        "samples.count: found 1000000000000000, with which the images of a cell would take",
    ),
    "code": ("__use_yte__: true\nname: tiny", "bad.yaml: __use_yte__"),
}


@pytest.mark.parametrize("case", OVERLAYS)
def test_overlays(case, tmp_path):
    text, message = OVERLAYS[case]
    (tmp_path / "bad.yaml").write_text(text)
    arguments = ["--configfile", str(TINY), "bad.yaml"]
    run = snakemake(tmp_path, "tables", *arguments)
    assert run.returncode == 1 and "Traceback" not in run.stderr
    (line,) = [line for line in run.stderr.splitlines() if "error" in line.lower()]
    assert line.startswith("error: ") and message in line
    assert {path.name for path in tmp_path.iterdir()} <= {"bad.yaml", ".snakemake"}


def test_a_mistake_that_only_a_job_can_see(copy):
    """More test images than there are: the data job says so in a line among Snakemake's own, and
    leaves nothing.
    """
    (copy / "bad.yaml").write_text(TINY.read_text().replace("images: 16", "images: 181"))
    target = ["results/tiny/data", "--forcerun", "data", "--configfile", "bad.yaml"]
    run = snakemake(copy, *target)
    assert run.returncode == 1 and "Traceback" not in run.stderr
    (line,) = {line for line in run.stderr.splitlines() if line.startswith("bench data: error")}
    assert (
        line == "bench data: error: bound.images: expected at most the 180 test images "
        "of tiny, found 181"
    )
    assert not (copy / "results" / "tiny" / "data").exists()
