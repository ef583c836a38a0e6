"""The experiments that come with the repository: they are valid, and the papers' ones cover what
was published.
"""

import csv

import pytest
import yaml

from bench.experiment import loading
from bench.papers import published
from tests.helpers.runs import ROOT

PAPERS = ("cifar10_ls", "cifar10_cs", "celeba64", "imagenet64", "lsun_bedroom")
NOT_HERE = ("ocm",)  # a variant that the harness does not have
OTHER_NETWORKS = {
    ("cifar10_ls", "improved_ddpm"),
    ("lsun_bedroom", "improved_ddpm"),
}  # Table 3's are not the settings' own
ROWS = [
    row
    for paper in published.PAPERS
    for row in csv.DictReader((published.FOLDER / f"{paper}.csv").read_text().splitlines())
]


def resolved(overlay):
    """The experiment that params.yaml and an overlay make, as Snakemake merges them."""
    return loading.load(ROOT / "params.yaml", [overlay])


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflows" / "experiments").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_experiment_is_valid(path):
    assert resolved(path).settings


def test_settings_of_no_experiment_are_valid_with_the_default_grid():
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    overlays = [
        yaml.safe_load(path.read_text())
        for path in (ROOT / "workflows" / "experiments").glob("*.yaml")
    ]
    named = {name for overlay in overlays for name in overlay["settings"]}
    rest = {path.stem for path in (ROOT / "workflows" / "settings").glob("*.yaml")} - named
    assert "fashion_mnist" in rest
    assert set(loading.resolve({**raw, "settings": sorted(rest)}).settings) == rest


def paper(name):
    return resolved(ROOT / "workflows" / "experiments" / f"{name}.yaml").setting(name)


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_setting_attempts_what_was_published(name):
    """Every published NLL and FID cell of a variant that there is, at 50 000 samples, is a cell of
    the setting's grid.
    """
    setting, wanted = paper(name), {}
    for row in ROWS:
        if (
            row["dataset"] == name
            and row["metric"] in ("nll_bpd", "fid")
            and row["variant"] not in NOT_HERE
        ):
            stage = "bound" if row["metric"] == "nll_bpd" else "samples"
            wanted.setdefault((stage, row["process"], row["variant"]), set()).add(
                (row["trajectory"], int(row["K"]))
            )
    for (stage, process, variant), cells in wanted.items():
        assert variant in setting.variants(process)
        assert cells <= set(setting.grid(stage, process, variant)), (stage, process, variant)
    assert bool(wanted) == (name != "lsun_bedroom")
    assert setting.samples.count == 50000 and setting.extractor.name == "inception"


@pytest.mark.parametrize("name", ["cifar10_ls", "celeba64", "lsun_bedroom"])
def test_a_papers_setting_attempts_its_rows_of_table_3(name):
    setting = paper(name)
    baselines = {"ddpm": "beta_tilde", "ddim": "zero"}
    for row in ROWS:
        if (
            row["dataset"] == name
            and row["metric"] == "least_K_fid6"
            and (name, row["variant"]) not in OTHER_NETWORKS
        ):
            variant = baselines.get(row["variant"], row["variant"])
            place = (row["trajectory"], int(row["K"]))
            assert place in setting.grid("samples", row["process"], variant)
    assert 6 <= setting.fidelity.target_fid <= 6.12


@pytest.mark.parametrize("name", PAPERS)
def test_schedule_and_clipping_are_the_papers(name):
    """N and the schedule as in schedules.csv, y as in Table 7, M the largest of Table 5."""
    setting = paper(name)
    schedules = {
        row["dataset"]: row
        for row in csv.DictReader((published.FOLDER / "schedules.csv").read_text().splitlines())
    }
    assert (setting.schedule.name, str(setting.schedule.N)) == (
        schedules[name]["schedule"],
        schedules[name]["N"],
    )
    published_levels = {
        (row["process"], float(row["clip_levels"]))
        for row in ROWS
        if row["dataset"] == name and row["metric"] == "sigma2_clip_threshold"
    }
    assert published_levels <= {
        ("ddpm", setting.clip_levels.ddpm),
        ("ddim", setting.clip_levels.ddim),
    }
    assert setting.clip("ddpm", "beta") == 1
    draws = [int(row["draws"]) for row in ROWS if row["dataset"] == name and row["draws"]]
    assert not draws or max(draws) == setting.moments.draws


def test_paper_is_the_five_of_them():
    everything = resolved(ROOT / "workflows" / "experiments" / "paper.yaml")
    assert list(everything.settings) == list(PAPERS)
    for name in PAPERS:
        shards = {"shards": everything.setting(name).shards}
        assert everything.setting(name) == paper(name).model_copy(update=shards)


def test_a_head_comment_says_how_to_run_it():
    for path in (ROOT / "workflows" / "experiments").glob("*.yaml"):
        assert (
            f"snakemake --cores all tables --configfile {path.relative_to(ROOT)}"
            in path.read_text()
        )
