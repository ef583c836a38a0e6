"""Table 7 of Bao 2022a: every published cell is met, and a wrong one is noticed."""

from bench.papers import published, table7


def test_every_published_cell_is_met():
    rows = table7.recompute(published.sigma2_cells())
    assert len(rows) == 96
    assert [row for row in rows if not row["agrees"]] == []
    assert {row["schedule"] for row in rows} == {"linear-1000", "cosine-1000", "cosine-4000"}


def test_a_wrong_value_is_told():
    cell = next(cell for cell in published.sigma2_cells() if cell["metric"] == "sigma2_upper_bound")
    assert (
        table7.recompute([cell])[0]["agrees"]
        and not table7.recompute([{**cell, "value": "1.00e-1"}])[0]["agrees"]
    )
