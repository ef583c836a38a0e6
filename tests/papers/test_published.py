"""The published cells, by a few that were read off the papers."""

import shutil

import pytest

from bench.papers import published
from bench.runtime.errors import BenchError


def one(**wanted):
    """The values of the published cells that have these columns, each with its provenance."""
    cells = published.read()
    for name, value in wanted.items():
        cells = cells[cells[name] == value]
    return list(zip(cells.value, cells.provenance, strict=True))


def test_cells_as_printed():
    bound = {
        "dataset": "cifar10_ls",
        "metric": "nll_bpd",
        "process": "ddpm",
        "trajectory": "even",
        "K": "10",
    }
    assert one(**bound, variant="beta_tilde") == [("74.95", "primary")]
    assert one(**bound, variant="sn") == [("30.79", "quoted")]
    assert one(table="9", process="ddim", variant="zero", K="1000") == [("3.40", "primary")]


def test_all_cells_are_there():
    lines = [
        line
        for paper in published.PAPERS
        for line in (published.FOLDER / f"{paper}.csv").read_text().splitlines()[1:]
    ]
    assert len(published.read()) == len(lines) == 603
    assert set(published.read().provenance) == {"primary", "quoted"}


def test_every_metric_has_a_tolerance_and_a_reason():
    tolerances = published.tolerances()
    assert set(tolerances) == set(published.read().metric)
    for row in tolerances.values():
        assert row["absolute"] >= 0 and row["relative"] >= 0 and len(row["reason"]) > 20
    assert [tolerances["fid"][name] for name in ("absolute", "relative", "images")] == [
        0.1,
        0.02,
        50000,
    ]


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            "fid,0.1",
            "fdi,0.1",
            "tolerances.csv: found no tolerance of fid, expected one of every published metric",
        ),
        (
            "fid,0.1",
            "fid,much",
            "tolerances.csv: corrupt or truncated .could not convert string to float",
        ),
        ("50000", "many", "tolerances.csv: corrupt or truncated .invalid literal for int"),
    ],
)
def test_a_bad_tolerance_is_told(tmp_path, monkeypatch, old, new, message):
    folder = shutil.copytree(published.FOLDER, tmp_path / "published")
    (folder / "tolerances.csv").write_text(
        (folder / "tolerances.csv").read_text().replace(old, new)
    )
    monkeypatch.setattr(published, "FOLDER", folder)
    with pytest.raises(BenchError, match=message):
        published.tolerances()
