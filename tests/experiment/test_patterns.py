"""Which cells a filter picks, and what is said of a pattern that picks none."""

import pytest

from bench.experiment import loading, patterns
from bench.runtime.errors import BenchError
from tests.helpers.experiments import RAW

CELL = ("digits", "ddpm", "mle_dct", "even", "K10")


@pytest.mark.parametrize(
    "pattern",
    ["mle_dct", "ddpm/mle_dct", "digits", "digits/K10", "mle_*/K10", "ddpm/*", "*/*/*/*/*", "even"],
)
def test_parts_of_a_name_in_order_fit(pattern):
    assert patterns.fits(pattern, CELL)


@pytest.mark.parametrize("pattern", ["mle", "K1", "mle_dct/ddpm", "ddim/*", "*/*/*/*/*/*", "K100"])
def test_what_is_no_part_or_in_another_order_does_not(pattern):
    assert not patterns.fits(pattern, CELL)


def filtered(*only, metrics=("nll", "fid")):
    raw = {**RAW, "metrics": list(metrics), "only": list(only)}
    return loading.resolve(raw, changes={"only": list(only)})


def test_rows_are_picked_and_what_they_share_is_that_of_all_rows():
    experiment = filtered("ddpm/npr/K10", "ddim/mle_*")
    rows = experiment.selection("digits")
    assert rows.cells("bound", "ddpm") == [("npr", "even", 10)] == rows.cells("samples", "ddpm")
    assert rows.variants("ddim") == ["mle_scalar", "mle_diagonal", "mle_dct"]
    assert {K for _, _, K in rows.cells("samples", "ddim")} == {5, 10, 25, 50}
    whole, unfiltered = experiment.setting("digits"), loading.resolve(RAW).setting("digits")
    assert whole == unfiltered and whole.head_names == ["npr", "sn", "improved_ddpm"]
    assert whole.moment_names() == unfiltered.moment_names()
    assert whole.trajectories() == unfiltered.trajectories()


def test_a_setting_without_a_picked_row_is_not_measured():
    raw = {**RAW, "settings": {name: {"like": "digits"} for name in ("one", "two")}}
    raw["only"] = ["two/ddim"]
    experiment = loading.resolve(raw, changes=raw)
    assert list(experiment.selected) == ["two"] and list(experiment.settings) == ["one", "two"]
    assert not experiment.wants_bound("one") and not experiment.wants_bound("two")


def test_tables_and_files_of_a_filter_are_beside_those_of_all_rows(tmp_path):
    """And the configuration that jobs read says the same."""
    experiment = filtered("npr")
    assert experiment.name == "default-only"
    assert str(experiment.place("digits").bound) == "results/digits/only/bound.parquet"
    assert str(loading.resolve(RAW).place("digits").bound) == "results/digits/bound.parquet"
    assert experiment.place("digits").moments == loading.resolve(RAW).place("digits").moments
    loading.write(experiment, tmp_path / "config.yaml")
    assert loading.load(tmp_path / "config.yaml") == experiment


@pytest.mark.parametrize("text", ["npr,*_dct", "[npr, *_dct]", "[npr,*_dct]"])
def test_a_list_that_yaml_cannot_read_is_split(text):
    """`[*_dct]` is an alias of YAML, so Snakemake leaves the text."""
    assert patterns.split(text) == ["npr", "*_dct"]


@pytest.mark.parametrize(
    "pattern, metrics, message",
    [
        ("ddpm/nrp", ("fid",), r"only: unknown name 'nrp'; did you mean 'npr'\? \(known: K10, "),
        ("npr/ddpm", ("fid",), "only: found 'npr/ddpm', .* of no one cell .*SETTING/PROCESS"),
        ("ddim/beta_tilde", ("fid",), "only: found 'ddim/beta_tilde'"),
        ("K1000", ("fid",), "only: unknown name 'K1000'; did you mean 'K10'"),
        ("ddim", ("nll",), "only: unknown name 'ddim'; did you mean 'ddpm'"),
    ],
)
def test_a_pattern_that_picks_nothing_is_one_line(pattern, metrics, message):
    """K = 1000 is a step number of the bound alone, and ddim has none."""
    with pytest.raises(BenchError, match=message):
        filtered("npr", pattern, metrics=metrics)


def test_params_yaml_has_no_filter():
    """DVC would take the tables of the last run of all rows for those of the filter."""
    with pytest.raises(BenchError, match=r"params.yaml: only: .*--config 'only=\[npr\]'"):
        loading.resolve({**RAW, "only": ["npr"]})
