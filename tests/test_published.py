"""The published cells, by a few that were read off the papers."""

from bench import published


def one(**wanted):
    """The values of the published cells that have these columns, each with its provenance."""
    cells = published.read()
    for name, value in wanted.items():
        cells = cells[cells[name] == value]
    return list(zip(cells.value, cells.provenance, strict=True))


def test_cells_as_printed():
    bound = {"dataset": "cifar10_ls", "metric": "nll_bpd", "process": "ddpm", "trajectory": "even", "K": "10"}
    assert one(**bound, variant="beta_tilde") == [("74.95", "primary")]
    assert one(**bound, variant="sn") == [("30.79", "quoted")]
    assert one(table="9", process="ddim", variant="zero", K="1000") == [("3.40", "primary")]


def test_all_cells_are_there():
    lines = [line for paper in published.PAPERS for line in (published.FOLDER / f"{paper}.csv").read_text().splitlines()[1:]]
    assert len(published.read()) == len(lines) == 602
    assert set(published.read().provenance) == {"primary", "quoted"}


def test_every_metric_has_a_tolerance_and_a_reason():
    tolerances = published.tolerances()
    assert set(tolerances) == set(published.read().metric)
    for row in tolerances.values():
        assert float(row["absolute"]) >= 0 and float(row["relative"]) >= 0 and len(row["reason"]) > 20
