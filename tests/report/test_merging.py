"""`bench merge` on cells made by hand: what belongs together, and what does not."""

import pandas
import pytest

from bench import cli
from bench.report import tables

VERSION = "data 1, bound 2, {} 1, fid 1"


def write(folder, rows, **changes):
    """A folder of tables with cells (variant, K, value, stderr) of FID, and a target."""
    folder.mkdir()
    frame = pandas.DataFrame(rows, columns=["variant", "K", "value", "stderr"]).assign(
        setting="toy", process="ddpm", trajectory="even", metric="fid", n=100, dtype="fp32"
    )
    frame = frame.assign(extractor="net-1", reference="train 90 abcd", network_evaluations=frame.K)
    frame["version"] = [VERSION.format(variant) for variant in frame.variant]
    frame = frame.assign(**changes).reindex(columns=tables.COLUMNS)
    frame.to_csv(folder / "cells.csv", index=False)
    tables.table2(frame, dict.fromkeys(frame.setting, 10.0)).to_csv(
        folder / "table2.csv", index=False
    )
    return str(folder)


@pytest.fixture
def alice(tmp_path):
    return write(tmp_path / "alice", [("beta", 5, 12.0, 0.3), ("beta", 10, 8.0, 0.3)])


def merged(tmp_path, *places):
    cli.main(["merge", *places, "--into", str(tmp_path / "all")])
    return pandas.read_csv(tmp_path / "all" / "cells.csv")


def test_every_cell_is_there_once_with_its_source(tmp_path, alice, capsys):
    bob = write(tmp_path / "bob", [("beta", 5, 12.4, 0.4), ("npr", 5, 11.0, 0.4)])
    cells = merged(tmp_path, alice, f"{bob}/cells.csv")
    assert list(cells.columns) == [*tables.COLUMNS, "source"]
    found = cells[["variant", "K", "value", "source"]].values.tolist()
    assert found == [
        ["beta", 5, 12.0, alice],
        ["beta", 10, 8.0, alice],
        ["npr", 5, 11.0, f"{bob}/cells.csv"],
    ]
    said = capsys.readouterr()
    assert said.out == f"{tmp_path}/all/table1.md\n" and said.err == ""
    text = (tmp_path / "all" / "table1.md").read_text()
    assert f"`{alice}`: 2, `{bob}/cells.csv`: 1" in text and "**11.0** ± 0.4" in text
    assert "Made by `bench merge " in text.splitlines()[-1] and "behind the best" not in text
    table2 = pandas.read_csv(tmp_path / "all" / "table2.csv").set_index("variant")
    assert table2.least_K.astype(str).to_dict() == {"beta": "10", "npr": ">5"}
    assert "\\toprule" in (tmp_path / "all" / "table1.tex").read_text()


def test_merged_results_can_be_merged_again_and_keep_their_sources(tmp_path, alice):
    bob = write(tmp_path / "bob", [("beta", 5, 12.0, 0.3), ("npr", 5, 11.0, 0.4)])
    merged(tmp_path, alice, bob)
    carol = write(tmp_path / "carol", [("npr", 5, 11.0, 0.4), ("sn", 5, 15.0, 0.4)])
    cli.main(["merge", str(tmp_path / "all"), carol, "--into", str(tmp_path / "three")])
    cells = pandas.read_csv(tmp_path / "three" / "cells.csv")
    assert list(cells.source) == [alice, alice, bob, carol]


def test_cells_that_disagree_name_both_folders(tmp_path, alice):
    """0.3 and 0.4 are 0.5 together, so 2 is 4 of them."""
    bob = write(tmp_path / "bob", [("beta", 5, 14.0, 0.4)])
    with pytest.raises(SystemExit) as ended:
        merged(tmp_path, alice, bob)
    line = ended.value.code
    assert f"toy ddpm even beta 5 fid: {alice} has 12, {bob} has 14, 4.0 joint errors" in line
    assert line.endswith(f"1 of 1 shared cells disagree: bench compare {alice} {bob}")
    assert not (tmp_path / "all").exists()
    cli.main(["merge", alice, bob, "--into", str(tmp_path / "all"), "--errors", "4.1"])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"n": 200}, "n: .*alice has '100', .*bob has '200'"),
        ({"dtype": "bf16"}, "dtype: .*alice has 'fp32', .*bob has 'bf16'"),
        ({"extractor": "net-2"}, "extractor: .*'net-1', .*'net-2'"),
        ({"reference": "train 90 ffff"}, "reference: .*'train 90 abcd', .*'train 90 ffff'"),
        ({"version": "data 1, bound 3, npr 1, fid 1"}, "version of bound: .*'2', .*bob has '3'"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, alice, changes, message):
    bob = write(tmp_path / "bob", [("npr", 5, 11.0, 0.4)], **changes)
    with pytest.raises(SystemExit, match=f"merge: error: toy fid: {message}; expected results of"):
        merged(tmp_path, alice, bob)


def test_other_settings_need_not_agree(tmp_path, alice):
    bob = write(tmp_path / "bob", [("npr", 5, 11.0, 0.4)], setting="other", n=200, extractor="x")
    assert list(merged(tmp_path, alice, bob).setting) == ["toy", "toy", "other"]


def test_results_that_share_no_cell_are_named(tmp_path, alice, capsys):
    bob = write(tmp_path / "bob", [("npr", 5, 11.0, 0.4)])
    merged(tmp_path, alice, bob)
    assert f"{bob}: toy fid: shares no cell with those before it" in capsys.readouterr().err


def test_a_folder_is_not_replaced(tmp_path, alice):
    (tmp_path / "all").mkdir()
    with pytest.raises(SystemExit, match="--into: .*all: exists already; expected a new folder"):
        merged(tmp_path, alice)


def test_a_file_without_cells_is_named(tmp_path, alice):
    with pytest.raises(SystemExit, match="nobody: missing; expected a folder of tables, or a cell"):
        merged(tmp_path, alice, str(tmp_path / "nobody"))
