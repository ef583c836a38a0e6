"""The configuration: what it resolves to, and one line for each thing that can be wrong with it."""

import copy

import pytest
import yaml

from bench.experiment import loading, strict
from bench.runtime.errors import BenchError
from tests.helpers.experiments import RAW
from tests.helpers.runs import ROOT

DIGITS = ROOT / "workflows" / "settings" / "digits.yaml"


def changed(path, value, raw=RAW):
    raw = copy.deepcopy(raw)
    *parents, last = path.split(".")
    place = raw
    for key in parents:
        place = place.setdefault(key, {})
    place[last] = value
    return raw


def test_a_resolved_experiment_reads_back_equal(tmp_path):
    experiment = loading.resolve(RAW)
    loading.write(experiment, tmp_path / "config.yaml")
    assert loading.load(tmp_path / "config.yaml") == experiment


def test_a_setting_takes_shared_sections_from_params_and_its_own_from_its_file():
    digits = loading.resolve(changed("moments.draws", 7)).setting("digits")
    assert digits.moments.draws == 7 and digits.schedule.N == 1000 and digits.data.name == "digits"


def test_optimal_cells_are_for_ddpm_and_variants_with_a_cost():
    digits = loading.resolve(RAW).setting("digits")
    assert ("optimal", 10) in digits.grid("bound", "ddpm", "beta")
    assert ("optimal", 10) not in digits.grid("bound", "ddpm", "npr")
    assert (
        loading.resolve(changed("samples.trajectories", ["optimal"]))
        .setting("digits")
        .grid("samples", "ddim", "zero")
        == []
    )


def test_variants_are_grouped_by_what_they_need():
    digits = loading.resolve(RAW).setting("digits")
    assert list(digits.variants_by_need("ddpm").items()) == [
        ("nothing", ["beta_tilde", "beta"]),
        (
            "moments",
            [
                "analytic_scalar",
                "analytic_diagonal",
                "total_variance",
                "mle_scalar",
                "mle_diagonal",
                "mle_dct",
            ],
        ),
        ("heads", ["npr", "sn", "improved_ddpm"]),
    ]
    few = loading.resolve(changed("processes", {"ddim": {"variants": ["sn", "zero"]}})).setting(
        "digits"
    )
    assert (
        few.variants_by_need("ddim") == {"nothing": ["zero"], "heads": ["sn"]}
        and few.variants_by_need("ddpm") == {}
    )


def test_a_trajectory_may_have_its_own_steps():
    digits = loading.resolve(
        changed("samples.also", {"quadratic_ddim": [20, 30], "even": [10, 90]})
    ).setting("digits")
    own = [("quadratic_ddim", 20), ("quadratic_ddim", 30), ("even", 90)]
    assert digits.grid("samples", "ddim", "zero") == [("even", K) for K in (5, 10, 25, 50)] + own
    assert (
        digits.trajectories()["quadratic_ddim"] == {"*": [20, 30]}
        and 90 in digits.trajectories()["even"]["*"]
    )


def test_beta_may_be_clipped_otherwise():
    """y is 2 for all of ddpm but beta, 1 for ddim; without `beta` it is one for all. λ² alone
    is not clipped unless a setting asks for it.
    """
    clip = {"ddpm": 2, "ddim": 1, "variants": {"beta": 0.5}}
    digits = loading.resolve(RAW).setting("digits")
    special = digits.model_copy(update={"clip_levels": type(digits.clip_levels)(**clip)})
    assert [special.clip("ddpm", name) for name in ("beta", "beta_tilde", "npr")] == [0.5, None, 2]
    assert special.clip("ddim", "npr") == 1 and digits.clip("ddpm", "beta") == 1
    assert special.clip("ddim", "zero") is None
    asked = type(digits.clip_levels)(ddpm=2, ddim=1, variants={"beta_tilde": 3})
    assert digits.model_copy(update={"clip_levels": asked}).clip("ddpm", "beta_tilde") == 3


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("bound.also", {"evn": [10]}, "bound.also: unknown trajectory 'evn'; did you mean 'even'"),
        (
            "bound.also",
            {"even": [1001]},
            "bound.K: expected 2 ≤ K ≤ schedule.N = 1000 for trajectory 'even', found 1001",
        ),
        (
            "samples.also",
            {"even": [7, 7]},
            "samples.also.even: expected no repetitions, found 7 2 times",
        ),
        ("moments.draws", -1, "params.yaml: moments.draws: .*greater than or equal to 1, found -1"),
        ("moments.draws", 0, "moments.draws: .*found 0"),
        ("moments.draws", "many", "moments.draws: .*valid integer, found 'many'"),
        ("moments.drwas", 3, "moments.drwas: unknown key 'drwas'; did you mean 'draws'"),
        ("bogus", 1, "unknown key 'bogus'"),
        ("bound.images", 181, "bound.images: expected at most the 180 test images .*, found 181"),
        ("settings", ["digit"], "unknown setting 'digit'; did you mean 'digits'"),
        ("settings", [], "settings: expected a list of setting names, found \\[\\]"),
        ("settings", "digits", "settings: expected a list of setting names"),
        ("metrics", ["fidd"], "metrics: unknown metric 'fidd'; did you mean 'fid'"),
        ("metrics", [], "metrics: .*at least 1 item"),
        (
            "bound.K",
            [2000],
            "bound.K: expected 2 ≤ K ≤ schedule.N = 1000 for trajectory 'even', found 2000",
        ),
        ("bound.K", [0], "bound.K.0: .*greater than or equal to 1, found 0"),
        ("bound.K", [float("nan")], "bound.K.0: .*found nan"),
        ("bound.K", ["ten"], "bound.K.0: .*valid integer, found 'ten'"),
        ("bound.K", [1], "bound.K: expected 2 ≤ K"),
        ("bound.K", [10, 50, 10], "bound.K: expected no repetitions, found 10 2 times"),
        (
            "processes.ddpm.variants",
            ["npr", "npr"],
            "processes.ddpm.variants: expected no repetitions, found 'npr' 2 times",
        ),
        ("samples.K", [], "samples.K: .*at least 1 item"),
        (
            "samples.trajectories",
            ["evn"],
            "samples.trajectories: unknown trajectory 'evn'; did you mean 'even'",
        ),
        (
            "samples",
            {**RAW["samples"], "K": [300], "trajectories": ["even_ddim"]},
            "samples.K: trajectory even_ddim: .*K = 300",
        ),
        ("processes.ddim.variants", ["beta"], "variant 'beta' is not defined for process 'ddim'"),
        ("processes.ddpm.variants", ["nrp"], "unknown variant 'nrp'; did you mean 'npr'"),
        ("processes.ddpm.variants", [], "processes.ddpm.variants: .*at least 1 item"),
        ("processes.ddim.eta", 1.5, "processes.ddim.eta: .*less than or equal to 1, found 1.5"),
        ("processes.dddpm", {"variants": ["beta"]}, "unknown key 'dddpm'; did you mean 'ddpm'"),
        ("seed", None, "seed: .*valid integer, found None"),
        ("fidelity.target_fid", float("nan"), "fidelity.target_fid: .*found nan"),
        (
            "fidelity.reference_images",
            3,
            "fidelity.reference_images: .*greater than or equal to 4, found 3",
        ),
        ("metrics", ["fid_cleen"], "metrics: unknown metric 'fid_cleen'; did you mean 'fid_clean'"),
        (
            "metrics",
            ["fid_clean"],
            "metrics: fid_clean needs settings.digits.extractor.name inception, found classifier",
        ),
        (
            "metrics",
            ["nowhere.energy:Energy"],
            "metrics: metric 'nowhere.energy:Energy' cannot be imported .No module named "
            "'nowhere'.; expected package.module:Class",
        ),
        (
            "metrics",
            ["bench.noise:Energy"],
            "metrics: metric 'bench.noise:Energy' cannot be imported .*no attribute 'Energy'",
        ),
        (
            "metrics",
            ["bench.schedule:Schedule"],
            "metric 'bench.schedule:Schedule': expected a subclass of bench.scores.Metric",
        ),
        (
            "fidelity.reference",
            "stats.npz",
            "metrics: kid needs features of images, and settings.digits.fidelity.reference is ",
        ),
        (
            "fidelity",
            {**RAW["fidelity"], "reference": "stats.npz", "reference_images": 9},
            "reference_images: expected none beside",
        ),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(path, value, message):
    with pytest.raises(BenchError, match=message) as caught:
        loading.resolve(changed(path, value))
    assert "\n" not in str(caught.value)


def test_a_statistics_file_is_of_one_resizing():
    raw = {**RAW, "metrics": ["nll", "fid_clean"], "settings": ["cifar10_tiny"]}
    raw["fidelity"] = {**RAW["fidelity"], "reference": "stats.npz"}
    with pytest.raises(BenchError, match="metrics: fid_clean resizes images its own way, and"):
        loading.resolve(raw)


def test_metrics_are_split_by_what_they_need():
    """A setting without DDPM has no bound, whatever the metrics."""
    experiment = loading.resolve(
        {**RAW, "metrics": ["fid_clean", "nll", "fid"], "settings": ["cifar10_tiny"]}
    )
    assert [metric.name for metric in experiment.bound_metrics] == ["nll_bpd", "nll_nats"]
    assert [metric.name for metric in experiment.sample_metrics] == ["fid_clean", "fid"]
    assert experiment.metric_groups == ["fid_clean", "nll", "fid"]
    assert experiment.resizings == ["clean", None] and experiment.wants_bound("cifar10_tiny")
    without = loading.resolve(changed("processes", {"ddim": {"variants": ["zero"]}}))
    assert not without.wants_bound("digits")
    assert not loading.resolve(changed("metrics", ["fid"])).wants_bound("digits")


def test_a_missing_key_is_named():
    raw = {key: value for key, value in RAW.items() if key != "moments"}
    with pytest.raises(BenchError, match="moments: missing"):
        loading.resolve(raw)


def resolved(**changes):
    """The resolved experiment as a mapping, with sections of its setting replaced."""
    raw = loading.resolve(RAW).model_dump(mode="json")
    raw["settings"]["digits"].update(changes)
    return raw


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"heads": None}, "variant 'npr' needs the head 'npr', which is not configured"),
        ({"extractor": None}, "fid needs settings.digits.extractor, which is not configured"),
        ({"schedule": {"name": "lin", "N": 10}}, "unknown schedule 'lin'"),
        ({"mean": {}}, "mean: expected either unet and train, or one of checkpoint"),
    ],
)
def test_mistakes_in_a_setting(changes, message):
    with pytest.raises(BenchError, match=message):
        loading.resolve(resolved(**changes))


def of_setting(folder, own):
    """The default experiment, of one setting: `own`, which is written to mine.yaml in `folder`."""
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(own))
    return RAW | {"settings": [str(path)]}


def test_rows_of_all_settings_without_a_head_are_left_out(tmp_path, capsys):
    """One line says so if the rows are params.yaml's. It is an error if they are the setting's."""
    own = strict.read(DIGITS)
    own["heads"] = {"targets": {"npr": "simple"}, "train": own["heads"]["train"]}
    raw = of_setting(tmp_path, own)
    mine = loading.resolve(raw).setting("mine")
    assert "npr" in mine.variants("ddim") and mine.head_names == ["npr"]
    assert not {"sn", "improved_ddpm"} & {*mine.variants("ddpm"), *mine.variants("ddim")}
    said = capsys.readouterr().err
    assert said.startswith("settings.mine: no head is configured for improved_ddpm, sn; their rows")
    assert said.count("\n") == 1
    with pytest.raises(BenchError, match="ddim.variants: every variant needs a head that is not"):
        loading.resolve(changed("processes.ddim.variants", ["sn"], raw))
    own["processes"] = {"ddpm": {"variants": ["beta", "sn"]}}
    with pytest.raises(
        BenchError, match="variant 'sn' needs the head 'sn', which is not configured"
    ):
        loading.resolve(of_setting(tmp_path, own))


def test_heads_have_a_default_mode(tmp_path):
    """Heads that a row needs and targets does not name come last, whatever the rows' order."""
    own = strict.read(DIGITS)
    own["heads"] = {
        "default": "complex",
        "targets": {"sn": "simple"},
        "train": own["heads"]["train"],
    }
    heads = loading.resolve(of_setting(tmp_path, own)).setting("mine").heads
    assert list(heads.targets.items()) == [
        ("sn", "simple"),
        ("improved_ddpm", "complex"),
        ("npr", "complex"),
    ]
    assert heads.default is None
    del own["heads"]["train"]
    with pytest.raises(BenchError, match="heads: train: missing; every head that is not imported"):
        loading.resolve(of_setting(tmp_path, own))


def test_the_bound_is_wanted_for_nll_and_cells_that_have_one():
    experiment = loading.resolve(RAW)
    digits = experiment.setting("digits")
    assert experiment.wants_bound("digits") and digits.bound_variants == digits.variants("ddpm")
    assert not loading.resolve(changed("metrics", ["fid"])).wants_bound("digits")
    only_ddim = changed("processes", {"ddim": {"variants": ["zero"]}})
    assert not loading.resolve(only_ddim).wants_bound("digits")


def test_moments_that_the_rows_read():
    few = changed("processes", {"ddim": {"variants": ["zero", "mle_scalar"]}})
    few["settings"] = ["lsun_bedroom"]
    lsun = loading.resolve(few).setting("lsun_bedroom")
    assert lsun.moment_names() == ["eps_sq_mean", "error_colours", "error_dct"]
    digits = loading.resolve(RAW).setting("digits")
    assert "x0_error_sq_mean" in digits.moment_names() and "error_sq_mean" in digits.moment_names()
    assert lsun.moments_by_coordinate() == ["error_colours", "error_dct"]
    assert digits.moments_by_coordinate() == ["eps_sq", "error_colours", "error_dct", "error_sq"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a: [1", "not valid YAML"),
        ("- 1\n", "expected a mapping of keys, found list"),
        ("x: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
    ],
)
def test_unreadable_files(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(BenchError, match=f"bad.yaml: {message}"):
        loading.load(tmp_path / "bad.yaml")


def written(folder, **overlay):
    """The path of an overlay file with these keys."""
    path = folder / "overlay.yaml"
    path.write_text(yaml.safe_dump(overlay))
    return path


PARAMS = ROOT / "params.yaml"


def test_an_overlay_needs_a_name(tmp_path):
    """Without one its tables would replace those of the default experiment."""
    overlay = written(tmp_path, moments={"draws": 3})
    message = "overlay.yaml: name: missing; expected a line such as `name: mine`"
    with pytest.raises(BenchError, match=message):
        loading.load(PARAMS, [overlay])
    named = loading.load(PARAMS, [overlay, ROOT / "workflows" / "experiments" / "tiny.yaml"])
    assert named.name == "tiny"


def test_a_section_of_an_overlay_that_every_setting_has_itself(tmp_path):
    """It would do nothing. One that adds to lists reaches the settings' own."""
    overlay = written(tmp_path, name="mine", heads={"default": "mlp"})
    message = (
        "overlay.yaml: heads: no setting takes it, as workflows/settings/digits.yaml has its own"
    )
    with pytest.raises(BenchError, match=message):
        loading.load(PARAMS, [overlay])
    adds = {"ddpm": {"variants+": ["beta"]}}
    overlay = written(tmp_path, name="mine", settings=["lsun_bedroom"], processes=adds)
    experiment = loading.load(PARAMS, [overlay])
    assert experiment.setting("lsun_bedroom").variants("ddpm")[-1] == "beta"


def test_a_section_of_an_overlay_that_one_setting_has_itself(tmp_path, capsys):
    grid = {"images": 30}
    overlay = written(tmp_path, name="mine", settings=["digits", "cifar10_ls"], bound=grid)
    experiment = loading.load(PARAMS, [overlay])
    assert experiment.setting("digits").bound.images == 30
    assert experiment.setting("cifar10_ls").bound.images == 10000
    said = capsys.readouterr().err
    assert "bound: not for workflows/settings/cifar10_ls.yaml, which has its own" in said


def test_a_setting_with_the_name_of_another(tmp_path):
    """Both would have their results in one folder."""
    copy = tmp_path / "digits.yaml"
    copy.write_text(DIGITS.read_text())
    message = "digits.yaml has the name of workflows/settings/digits.yaml, and .* results/digits/"
    with pytest.raises(BenchError, match=message):
        loading.resolve({**RAW, "settings": [str(copy)]})
    known = loading.resolve({**RAW, "settings": [str(DIGITS)]})
    assert list(known.settings) == ["digits"]


@pytest.mark.parametrize(
    "key, message",
    [
        ("Ks", r"bound.Ks\+: unknown key 'Ks'; did you mean 'K'\? \(known: K, images, traj"),
        ("images", r"bound.images\+: expected a list bound.images to add to, found 180"),
    ],
)
def test_an_addition_to_what_is_no_list(key, message, tmp_path):
    with pytest.raises(BenchError, match=message):
        loading.load(PARAMS, [written(tmp_path, name="mine", bound={f"{key}+": [3]})])


def test_another_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = "params.yaml: no such file in .*; start the command in the clone, or name the file"
    with pytest.raises(BenchError, match=message):
        loading.load()


SOLVERS = {"spacings": ["linspace", "karras"], "solvers": {"ddim": {"scheduler": "DDIMScheduler"}}}


def test_a_solver_has_the_spacings_that_its_scheduler_takes():
    digits = loading.resolve(changed("processes.solver", SOLVERS)).setting("digits")
    assert digits.grid("samples", "solver", "ddim") == [("linspace", K) for K in (5, 10, 25, 50)]
    assert digits.grid("bound", "solver", "ddim") == [] and digits.clip("solver", "ddim") is None
    assert digits.network_evaluations("solver", "ddim", "linspace", 10, 64) == 10


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("solvers", {}, "processes.solver.solvers: .*at least 1"),
        ("solvers.ddim.scheduler", "DDIM", "solvers.ddim: scheduler: unknown scheduler 'DDIM'"),
        ("solvers.ddim.clip", True, "solvers.ddim: clip: unknown option 'clip'"),
        ("solvers.zero", {"scheduler": "DDIMScheduler"}, "solvers.zero: expected another name"),
        ("solvers.jump_at-5", {"scheduler": "DDIMScheduler"}, "jump_at-5: expected another name"),
        ("spacings", ["uniform"], "solvers.ddim: unknown spacing 'uniform'"),
        ("spacings", ["karras"], "ddim takes none of karras; expected one of leading, linspace"),
        (
            "solvers.dpm",
            {"scheduler": "DPMSolverMultistepScheduler", "solver_type": "middle"},
            "solvers.dpm: DPMSolverMultistepScheduler: spacing linspace, 5 steps: refused .*middle",
        ),
    ],
)
def test_a_wrong_solver_is_one_line(key, value, message):
    raw = changed("processes.solver", copy.deepcopy(SOLVERS))
    with pytest.raises(BenchError, match=message):
        loading.resolve(changed(f"processes.solver.{key}", value, raw))


def test_distances_need_a_law():
    with pytest.raises(BenchError, match="needs data whose law is known; .*found digits"):
        loading.resolve(changed("metrics", ["distances"]))


def test_an_experiment_without_a_cell_is_one_line():
    """Else its tables would be empty after hours of training."""
    raw = changed("processes", {"solver": SOLVERS})
    with pytest.raises(
        BenchError, match="settings.digits: no cell has a metric of nll: expected rows"
    ):
        loading.resolve(changed("metrics", ["nll"], raw))


def test_an_unknown_key_comes_before_the_one_that_is_missing():
    raw = changed("processes.solver", {"spacing": ["linspace"], "solvers": SOLVERS["solvers"]})
    with pytest.raises(BenchError, match="solver.spacing: unknown key .* did you mean 'spacings'"):
        loading.resolve(raw)


def test_data_without_a_range_are_not_clipped_by_solvers():
    raw = changed("processes", {"solver": SOLVERS})
    raw["settings"] = ["mixture_2d"]
    message = "solvers.ddim: clip_sample: expected false, as the data have no range"
    with pytest.raises(BenchError, match=message):
        loading.resolve(changed("metrics", ["fid"], raw), folder=ROOT)
