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
    "more test images than there are": (
        "bound: {images: 181}",
        "bound.images: expected at most the 180 test images of the data set digits, found 181",
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
    """More training images than there are: the job says so in a line among Snakemake's own, which
    is said again at the end, and leaves nothing.
    """
    overlay = TINY.read_text().replace("resamples: 10", "resamples: 10\n  reference_images: 1618")
    (copy / "bad.yaml").write_text(overlay)
    target = "results/tiny/reference.json"
    run = snakemake(copy, target, "--forcerun", "reference", "--configfile", "bad.yaml")
    assert run.returncode == 1 and "Traceback" not in run.stderr
    lines = {line for line in run.stderr.splitlines() if line.startswith("bench reference: error")}
    assert lines == {
        "bench reference: error: fidelity.reference_images: expected at most the 1617 training "
        "images of tiny, found 1618"
    }
    log = "results/.logs/tiny/reference.log"
    ending = run.stderr.partition("Shutting down")[2]
    assert f"{log} ends with:\nbench reference: error: fidelity.reference_images" in ending
    assert not (copy / target).exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--configfile", "noname.yaml"], "error: noname.yaml: name: missing; expected a line"),
        (["--config", "bound={images: 30}"], "params.yaml + --config: bound.images: input should"),
    ],
)
def test_where_a_mistake_is_from(arguments, message, tmp_path):
    (tmp_path / "noname.yaml").write_text("moments: {draws: 3}")
    run = snakemake(tmp_path, "tables", "--dry-run", *arguments)
    assert run.returncode == 1 and "Traceback" not in run.stderr
    assert message in run.stderr.splitlines()[-1]
