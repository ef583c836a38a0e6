"""A study is the mean over repeated settings, with a standard error of how they differ."""

import pandas
import pytest

from bench.experiment import loading
from bench.report import studies
from bench.report.figures import study
from bench.runtime.errors import BenchError
from tests.helpers.experiments import RAW
from tests.helpers.runs import ROOT

FILES = sorted((ROOT / "workflows" / "studies").glob("*.yaml"))


def rows(values, group="short", **others):
    """Rows of cells.csv of repeated settings, a value each."""
    row = {"process": "ddpm", "trajectory": "even", "variant": "beta", "K": 5}
    row |= {"network_evaluations": 5.0, "metric": "nll_bpd", "stderr": 0.25, "exact": None}
    row |= others
    settings = [f"mine-{group}-{number}" for number in range(len(values))]
    return [
        {**row, "setting": setting, "value": value}
        for setting, value in zip(settings, values, strict=True)
    ]


def test_the_mean_over_repeats_and_its_standard_error():
    """1, 2, 6: the mean is 3, the variance 7, the standard error √(7/3)."""
    cells = pandas.DataFrame(rows([1.0, 2.0, 6.0]) + rows([4.0], "long") + rows([5.0], variant="a"))
    summary = studies.summarise(cells).set_index(["group", "variant"])
    repeated, single = summary.loc[("short", "beta")], summary.loc[("long", "beta")]
    assert (repeated.value, repeated.repeats) == (3.0, 3)
    assert repeated.stderr == pytest.approx((7 / 3) ** 0.5, rel=1e-12)
    assert (single.value, single.stderr, single.repeats) == (4.0, 0.25, 1)
    assert list(studies.summarise(cells).columns) == studies.COLUMNS and len(summary) == 3


def test_how_far_a_variant_is_behind_within_the_settings():
    """1, 2, 6 and 2, 4, 6 differ by 1, 2, 0: the mean is 1, the standard error 1/√3. Of a score
    that should be high the other one is the best.
    """
    pair = rows([1.0, 2.0, 6.0]) + rows([2.0, 4.0, 6.0], variant="beta_tilde")
    high = [{**row, "metric": "precision"} for row in pair]
    summary = studies.summarise(pandas.DataFrame(pair + high)).set_index(["metric", "variant"])
    low = summary.loc["nll_bpd"]
    assert set(low.best) == {"beta"} and set(summary.loc["precision"].best) == {"beta_tilde"}
    for behind in (low.loc["beta_tilde"], summary.loc[("precision", "beta")]):
        assert behind.behind == pytest.approx(1.0, rel=1e-12)
        assert behind.behind_stderr == pytest.approx(3**-0.5, rel=1e-12)
    assert low.loc["beta"].behind == 0


def test_what_is_exact_is_subtracted():
    """Bounds of vectors differ by the images as −log p(x) does; figures show the excess too."""
    cells = rows([1.0, 2.0], metric="nll_nats", exact=0.5) + rows([3.0], "other")
    summary = studies.summarise(pandas.DataFrame(cells)).set_index("group").value
    assert summary.to_dict() == {"short": 1.0, "other": 3.0}


def test_groups():
    assert studies.group_of("draws-M_10-2") == "M_10"
    assert studies.group_of("losses-long-run-12") == "long-run"
    assert studies.group_of("digits") == "digits"


def test_a_study_is_drawn(tmp_path):
    """A panel for each metric and group; a group without a metric leaves its panel empty."""
    cells = []
    for K in (5, 10):
        at = {"K": K, "network_evaluations": K}
        cells += rows([3.0 / K, 4.0 / K], **at) + rows([60.0 / K], metric="fid", **at)
        cells += rows([2.0 / K], "long", variant="beta_tilde", **at)
    figure = study.draw(studies.summarise(pandas.DataFrame(cells)), "mine")
    drawn = {axis.get_title(): axis for axis in figure.axes if axis.axison}
    assert list(drawn) == ["short", "long"] and len(figure.axes) == 4
    assert len([axis for axis in figure.axes if axis.axison]) == 3
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["beta", "beta_tilde"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_files_of_studies(file):
    """The workflow finds the study of a setting by its name."""
    study = loading.load_study(ROOT, file)
    studies.check_groups(study)
    assert all(studies.REPEAT.fullmatch(name) for name in study.settings)
    assert f"snakemake --cores all results/{file.stem}-tables/study.csv" in file.read_text()


def test_settings_of_a_group_are_alike():
    """Else a mean over them is of nothing. Only the mean model that they take over may differ."""
    trunk = {"unet": None, "train": None}
    settings = {
        "mine-own-0": {"like": "digits"},
        "mine-own-1": {"like": "digits"},
        "mine-taken-0": {
            "like": "digits",
            "mean": {**trunk, "checkpoint": "results/mine-own-0/mean"},
        },
        "mine-taken-1": {
            "like": "digits",
            "mean": {**trunk, "checkpoint": "results/mine-own-1/mean"},
        },
    }
    studies.check_groups(loading.resolve({**RAW, "settings": settings}, folder=ROOT))
    settings["mine-own-1"] = {"like": "digits", "mean": {"train": {"steps": 5}}}
    message = "settings.mine-own-1: mean: differs from that of mine-own-0"
    with pytest.raises(BenchError, match=message):
        studies.check_groups(loading.resolve({**RAW, "settings": settings}, folder=ROOT))


@pytest.mark.parametrize(
    "text, message",
    [
        ("name: other\n", "mine.yaml: name: expected mine, found other"),
        ("name: mine\n", "mine.yaml: settings.own-0: expected a name mine-GROUP-NUMBER"),
    ],
)
def test_names_of_a_study(text, message, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"{text}settings: {{own-0: {{like: digits}}}}\n")
    with pytest.raises(BenchError, match=message):
        loading.load_study(ROOT, tmp_path / "mine.yaml")
