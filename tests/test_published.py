"""The published cells, by a few that were read off the papers."""

from bench import published


def test_lookup():
    cells = published.lookup()
    value, source = cells["cifar10_ls", "nll_bpd", "ddpm", "even", "beta_tilde", 10]
    assert value == 74.95 and source == "Bao2022a Table 1 (primary)"
    value, source = cells["cifar10_ls", "nll_bpd", "ddpm", "even", "sn", 10]
    assert value == 30.79 and source.endswith("(quoted)")
    assert cells["celeba64", "fid", "ddim", "even_ddim", "zero", 1000][0] == 3.40


def test_all_cells_are_there():
    assert len(published.read()) == 602
