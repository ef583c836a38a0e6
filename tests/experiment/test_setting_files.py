"""A setting that is like another says only what is different."""

import pytest
import yaml

from bench import scores
from bench.experiment import loading
from bench.runtime.errors import BenchError
from bench.stages import versions_of
from tests.helpers.experiments import RAW
from tests.helpers.runs import ROOT


@pytest.fixture
def resolve(tmp_path):
    """The setting `mine`, of a file with these keys."""

    def setting(text):
        (tmp_path / "mine.yaml").write_text(text)
        raw = {**RAW, "settings": ["digits", str(tmp_path / "mine.yaml")]}
        return loading.resolve(raw, folder=ROOT).settings

    return setting


def test_only_what_is_different_is_said(resolve):
    """A copy of a whole file would hide it."""
    settings = resolve("like: digits\nmean: {train: {steps: 250}}\n")
    digits, mine = settings["digits"], settings["mine"]
    assert (digits.mean.train.steps, mine.mean.train.steps) == (1000, 250)
    assert mine.mean.unet == digits.mean.unet
    assert mine.model_dump(exclude={"mean"}) == digits.model_dump(exclude={"mean"})


def test_null_takes_a_key_away(resolve):
    text = "like: digits\nmean: {unet: null, train: null, checkpoint: my/checkpoint}\n"
    assert resolve(text)["mine"].mean.checkpoint == "my/checkpoint"


def test_null_takes_away_a_key_that_has_no_default_here(resolve):
    """UNet2DModel would take None for another network than without the key."""
    settings = resolve("like: digits\nmean: {unet: {add_attention: null}}\n")
    unet = dict(settings["digits"].mean.unet)
    assert unet.pop("add_attention") is False
    assert settings["mine"].mean.unet == unet


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "mean: {train: {objective: hybrid}}\n"
            "heads: {targets: {npr: imported, improved_ddpm: imported}}\n",
            "heads.targets.npr: imported, but the mean model is train",
        ),
        (  # digits trains improved_ddpm on the finished network
            "mean: {train: {objective: hybrid}}\n",
            "heads.targets.improved_ddpm: expected imported, as .* hybrid .*found simple",
        ),
        (  # the error names the setting's file, not params.yaml
            "processes: {ddpm: {variants+: [tmpd]}}\n",
            r"mine.yaml: processes.ddpm.variants\+: adds to a list, as only an overlay can",
        ),
    ],
)
def test_mistakes_in_a_setting(text, message, resolve):
    with pytest.raises(BenchError, match=message):
        resolve(f"like: digits\n{text}")


def test_a_default_does_not_train_what_comes_with_the_mean(resolve):
    text = (
        "like: digits\nmean: {train: {objective: hybrid}}\n"
        "heads: {default: simple, targets: null}\n"
    )
    targets = resolve(text)["mine"].heads.targets
    assert targets["improved_ddpm"] == "imported" and targets["npr"] == "simple"


def test_the_versions_of_a_hybrid_mean_name_its_variance(resolve):
    """Its loss is part of the training, so numbers of all variants follow from it."""
    text = (
        "like: digits\nmean: {train: {objective: hybrid}}\n"
        "heads: {targets: {improved_ddpm: imported}}\n"
    )
    setting = resolve(text)["mine"]
    versions = versions_of(setting, "ddpm", "beta", "even", scores.METRICS["nll_bpd"])
    assert "mean with improved_ddpm 1" in versions


def test_a_list_is_replaced(resolve):
    text = "like: digits\nprocesses: {ddpm: {variants: [beta]}}\n"
    assert resolve(text)["mine"].variants("ddpm") == ["beta"]


@pytest.mark.parametrize(
    "like, message",
    [
        ("digts", "mine.yaml: like: unknown setting 'digts'; did you mean 'digits'"),
        ("mine", "mine.yaml: like: unknown setting 'mine'"),
        ("[digits]", "mine.yaml: like: unknown setting"),
        ("other", "mine.yaml: like: other is itself like 'digits'; expected a setting without"),
    ],
)
def test_what_a_setting_cannot_be_like(like, message, resolve, tmp_path):
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({"like": "digits"}))
    with pytest.raises(BenchError, match=message):
        resolve(f"like: {like}\n")


def test_settings_without_files():
    """A study has many settings that differ in a key or two."""
    settings = {
        "short-0": {"like": "digits", "mean": {"train": {"steps": 10}}},
        "plain": {"like": "digits"},
    }
    resolved = loading.resolve({**RAW, "settings": settings}, folder=ROOT).settings
    assert [resolved[name].mean.train.steps for name in settings] == [10, 1000]
    assert resolved["plain"].heads == resolved["short-0"].heads


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"a": {"like": "digts"}}, "settings.a: like: unknown setting 'digts'"),
        ({"a": {"like": "digits"}, "b": 3}, "settings.b: expected a mapping of keys, found 3"),
        ({"a": {"like": "digits_hybrid"}}, "settings.a: like: digits_hybrid is itself like"),
        ({"a": {"like": "digits", "means": {}}}, "settings.a: means: unknown key"),
        ({"..": {"like": "digits"}}, r"settings.\.\."),
        ({"digits": {"like": "tiny"}}, "settings.digits: has the name of .*digits.yaml, and would"),
    ],
)
def test_mistakes_in_settings_without_files(settings, message):
    with pytest.raises(BenchError, match=message):
        loading.resolve({**RAW, "settings": settings}, folder=ROOT)


def taken_over(name, **changes):
    """A setting like digits with the mean model of the one called `name`."""
    mean = {"unet": None, "train": None, "checkpoint": f"results/{name}/mean"}
    return {"like": "digits", "mean": mean, **changes}


def test_a_mean_of_another_setting():
    settings = {"own": {"like": "digits"}, "other": taken_over("own")}
    experiment = loading.resolve({**RAW, "settings": settings}, folder=ROOT)
    assert [experiment.mean_from(name) for name in settings] == [None, "own"]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"a": taken_over("a")}, "settings.a: mean.checkpoint: .*that trains .*found that of a$"),
        (
            {"a": {"like": "digits"}, "b": taken_over("a"), "c": taken_over("b")},
            "settings.c: mean.checkpoint: .*that trains or imports it, found that of b",
        ),
        (
            {"a": {"like": "digits", "schedule": {"name": "cosine"}}, "b": taken_over("a")},
            "settings.b: mean.checkpoint: .* with the same schedule, found that of a",
        ),
        (
            {"a": {"like": "mixture_2d"}, "b": taken_over("a")},
            "settings.b: mean.checkpoint: .* with the same data, found that of a",
        ),
    ],
)
def test_a_mean_that_cannot_be_taken_over(settings, message):
    """A cycle would be a traceback of Snakemake."""
    with pytest.raises(BenchError, match=message):
        loading.resolve({**RAW, "settings": settings}, folder=ROOT)
