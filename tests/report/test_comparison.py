"""`bench compare` on cells made by hand, on the tiny run, and on that run with a broken variant."""

import shutil

import pandas
import pytest

from bench import cli, covariance
from bench.report import comparison
from tests.helpers.runs import CONFIG, ROOT, TABLES

EXPECTED = ROOT / "tests" / "expected" / "tiny_cells.csv"
# How far the tiny run's cells may be from the committed ones, as in .github/workflows/ci.yml.
ERRORS = "0.1"


def write(path, rows):
    """A cells.csv with rows (variant, value, stderr, version)."""
    columns = ["variant", "value", "stderr", "version"]
    frame = pandas.DataFrame(rows, columns=columns).assign(
        setting="toy", process="ddpm", trajectory="even", K=10, metric="fid", dtype="fp32"
    )
    frame.to_csv(path, index=False)
    return str(path)


def compared(tmp_path, before, after, errors=3.0):
    """{variant: row of the comparison}"""
    old, new = write(tmp_path / "a.csv", before), write(tmp_path / "b.csv", after)
    rows = comparison.compare(comparison.read(old), comparison.read(new), errors)
    return rows.set_index("variant").to_dict("index")


def test_a_cell_moves_beyond_its_joint_error(tmp_path):
    """0.3 and 0.4 are 0.5 together, so 3 of them are 1.5."""
    before = [(name, 10.0, 0.3, "fid 1") for name in ("below", "above", "down")]
    after = [("below", 11.499, 0.4, "fid 1"), ("above", 11.501, 0.4, "fid 1")]
    rows = compared(tmp_path, before, [*after, ("down", 8.0, 0.4, "fid 1")])
    assert list(rows) == ["above", "down"]
    assert rows["above"]["errors"] == pytest.approx(3.002) and rows["down"]["errors"] == -4
    assert rows["above"]["before"] == 10 and rows["above"]["after"] == 11.501


def test_without_an_error_a_cell_must_be_equal(tmp_path):
    """And with any, if no joint error is allowed."""
    before = [("same", 0.5, None, "fid 1"), ("other", 0.5, None, "fid 1")]
    after = [("same", 0.5, None, "fid 1"), ("other", 0.5 + 1e-15, None, "fid 1")]
    assert list(compared(tmp_path, before, after)) == ["other"]
    before = [("same", 0.5, 0.1, "fid 1"), ("other", 0.5, 0.1, "fid 1")]
    after = [("same", 0.5, 0.1, "fid 1"), ("other", 0.5 + 1e-15, 0.1, "fid 1")]
    assert list(compared(tmp_path, before, after, errors=0)) == ["other"]
    assert compared(tmp_path, before, after) == {}


def test_a_number_that_moves_with_its_version(tmp_path):
    before = [("a", 1.0, 0.1, "bound 1, a 1"), ("b", 1.0, 0.1, "bound 1, b 1")]
    after = [("a", 9.0, 0.1, "bound 2, heads 1, a 1"), ("b", 9.0, 0.1, "bound 1, b 1")]
    rows = compared(tmp_path, before, after)
    assert rows["a"]["change"] == "moved" and rows["b"]["change"] == "moved, same version"
    assert rows["a"]["versions"] == "bound 1 → 2, heads – → 1" and rows["b"]["versions"] == ""


def test_cells_that_appear_and_go(tmp_path, capsys):
    """They are listed in the order of the runs, and move nothing."""
    before = [("both", 1.0, 0.1, "fid 1"), ("old", 2.0, 0.1, "fid 1")]
    after = [("new", 3.0, 0.1, "fid 1"), ("both", 1.1, 0.1, "fid 1")]
    rows = compared(tmp_path, before, after)
    assert {name: row["change"] for name, row in rows.items()} == {"old": "went", "new": "appeared"}
    cli.main(["compare", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")])
    table, summary = capsys.readouterr().out.rstrip().split("\n\n")
    assert len(table.splitlines()) == 4 and "nan" not in table
    assert summary == (
        "0 of 1 cells moved, 0 of them while their version did not; 1 appeared, 1 went"
    )


def test_the_exit_code_and_the_line(tmp_path, capsys):
    """A folder of tables is its cells.csv."""
    a = write(tmp_path / "cells.csv", [("v", 1.0, 0.1, "fid 1"), ("w", 1.0, 0.1, "fid 1")])
    b = write(tmp_path / "b.csv", [("v", 2.0, 0.1, "fid 2"), ("w", 2.0, 0.1, "fid 1")])
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", str(tmp_path), b])
    assert ended.value.code == 1
    assert "2 of 2 cells moved, 1 of them while their version did not" in capsys.readouterr().out
    cli.main(["compare", a, b, "--errors", "8"])
    assert capsys.readouterr().out.startswith("0 of 2 cells moved")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda path: path.unlink(), "a.csv: missing; expected a folder of tables, or a cells.csv"),
        (lambda path: path.write_text("x,y\n1,2\n"), "a.csv: found no column setting; exp"),
        (lambda path: path.write_text(path.read_text().replace("1.0", "one")), "a.csv: .*one"),
        (
            lambda path: path.write_text(path.read_text() + path.read_text().splitlines()[1]),
            "a.csv: found the cell toy ddpm even v 10 fid twice, expected each once",
        ),
    ],
)
def test_what_is_no_cells_csv_is_one_line(tmp_path, change, message):
    a = write(tmp_path / "a.csv", [("v", 1.0, 0.1, "fid 1")])
    b = shutil.copy(a, tmp_path / "b.csv")
    change(tmp_path / "a.csv")
    with pytest.raises(SystemExit, match=f"compare: error: .*{message}"):
        cli.main(["compare", a, str(b)])


def test_the_expectation_is_renewed_unless_a_version_was_forgotten(tmp_path, capsys):
    a = tmp_path / "a.csv"
    text = write(a, [("v", 1.0, 0.1, "fid 1")]) and a.read_text()
    b = write(tmp_path / "b.csv", [("v", 2.0, 0.1, "fid 1")])
    with pytest.raises(SystemExit):
        cli.main(["compare", str(a), b, "--renew"])
    assert a.read_text() == text
    b = write(tmp_path / "b.csv", [("v", 2.0, 0.1, "fid 2"), ("w", 1 / 3, None, "fid 2")])
    cli.main(["compare", str(a), b, "--renew"])
    assert capsys.readouterr().out.endswith(f"{a}: renewed\n")
    cli.main(["compare", str(a), b, "--errors", "0"])
    with pytest.raises(SystemExit, match="--renew: .*expected a file of expected cells, found a f"):
        cli.main(["compare", str(tmp_path), b, "--renew"])


def test_the_tiny_run_has_the_expected_numbers(tiny_run, capsys):
    """A change of numbers shows here, and who means it says so: see CONTRIBUTING.md."""
    before = EXPECTED.read_bytes()
    cli.main(["compare", str(EXPECTED), str(tiny_run / TABLES), "--errors", ERRORS])
    assert capsys.readouterr().out.endswith("; 0 appeared, 0 went\n")
    assert EXPECTED.read_bytes() == before


@pytest.mark.parametrize("version", [1, 2])
def test_a_broken_estimator_is_found(copy, monkeypatch, capsys, version):
    """The maximum-likelihood scalar, made to assume a perfect mean: its bounds move, and no other's
    do. They are marked, unless its version went up.
    """
    variant = covariance.get("mle_scalar")
    monkeypatch.chdir(copy)
    monkeypatch.setattr(type(variant), "moments", ("eps_sq_mean",))
    monkeypatch.setattr(variant, "spectrum", lambda seen: 1 - seen.moments["eps_sq_mean"])
    monkeypatch.setattr(variant, "version", version)
    cli.main(["bound", "--config", CONFIG, "--setting", "tiny", "--threads", "1"])
    cli.main(["cells", "--config", CONFIG])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", str(EXPECTED), TABLES, "--errors", ERRORS])
    assert ended.value.code == 1
    table, summary = capsys.readouterr().out.split("\n\n")
    rows = [[text.strip() for text in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    moved = {row[3] for row in rows}, {row[5] for row in rows}, {row[-1] for row in rows}
    change = "moved, same version" if version == 1 else "moved"
    assert moved == ({"mle_scalar"}, {"nll_bpd"}, {change}) and len(rows) >= 6
    assert f"{len(rows)} of 265 cells moved, {len(rows) if version == 1 else 0} of them" in summary
    assert {row[-2] for row in rows} == {"" if version == 1 else "mle_scalar 1 → 2"}
