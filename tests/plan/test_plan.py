"""The plan: passes counted by hooks in a run, disk by the files of a run, paper scale by hand."""

import contextlib
import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
import yaml

from bench import bound, process, schedule, trajectory, variances
from bench.data import dataset
from bench.denoiser import Denoiser
from bench.experiment import loading
from bench.experiment.sections import DataSection, OracleSection
from bench.mean.train import make_unet
from bench.plan import forecast, passes, speed
from bench.report import tracking
from bench.runtime import files, paths
from bench.runtime.errors import BenchError
from bench.stages import (
    estimation,
    evaluation,
    networks,
    preparation,
    sampling,
    scoring,
    trajectories,
)
from tests.helpers.models import LinearModel, make_data
from tests.helpers.runs import ROOT, TINY, bench, environment
from tests.helpers.unets import improved_diffusion_state

pytestmark = pytest.mark.xdist_group("plan")  # they share what takes seconds to make

EXPERIMENTS = sorted((ROOT / "workflows" / "experiments").glob("*.yaml"))
PARTS = ("prior", "steps", "data")  # of the bound
TRAINING = {"steps": 3, "batch": 5}
SETTINGS = {  # of the size of the papers', with files that are not there
    "cifar10_ls": {
        "data": {"name": "cifar10", "path": "nowhere"},
        "schedule": {"name": "linear", "N": 1000},
    },
    "strange": {
        "data": {"name": "npz", "path": "nowhere"},
        "schedule": {"name": "linear", "N": 1000},
    },
    "unseen": {"data": {"name": "digits"}, "schedule": {"name": "linear", "N": 1000}},
}


def small():
    """The tiny experiment with less of everything, two shards, and K that repeats steps."""
    experiment = loading.load(ROOT / "params.yaml", [TINY]).model_dump(mode="json")
    tiny = experiment["settings"]["tiny"]
    tiny["schedule"]["N"] = 20
    tiny["processes"]["ddpm"]["variants"] = ["beta", "analytic_scalar", "npr", "improved_ddpm"]
    tiny["processes"]["ddim"]["variants"] = ["zero", "sn"]
    for section in (tiny["mean"], tiny["heads"], tiny["extractor"]):
        section["train"].update(TRAINING)
    tiny["moments"]["draws"], tiny["bound"]["images"] = 3, 4
    tiny["bound"]["K"], tiny["bound"]["trajectories"] = (
        [5, 10],
        ["even", "even_ddim", "quadratic_ddim"],
    )
    tiny["samples"].update(K=[2, 10], count=4, batch=3)
    tiny["shards"] = 2
    return loading.resolve(experiment)


def planned(experiment):
    """{stage: Row} of the only setting of an experiment."""
    return {row.stage: row for row in passes.rows(experiment, known(experiment))}


def known(experiment):
    """{setting: (size, mean network, network of the features)} of an experiment."""
    result = {}
    for name, setting in experiment.settings.items():
        size = dataset.size(setting.data.name, setting.data.options, paths.Setting(name).data)
        mean = speed.mean_network(name, setting, size.shape)
        result[name] = size, mean, speed.feature_network(name, setting, size.shape)
    return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(experiment, folder, {stage: images through the U-Net or the classifier}) of a run."""
    experiment, folder, passed, stage = small(), tmp_path_factory.mktemp("plan"), Counter(), None

    def count(module, inputs, output):
        if type(module).__name__ == "UNet2DModel" or any(
            isinstance(part, torch.nn.Flatten) for part in module.children()
        ):
            passed[stage] += len(inputs[0])

    torch.set_num_threads(1)  # as the tests themselves, which begin later
    hook = torch.nn.modules.module.register_module_forward_hook(count)
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "live_run", lambda *names: contextlib.nullcontext())
        functions = {
            "data": preparation.prepare_data,
            "mean": networks.train_mean,
            "extractor": networks.prepare_extractor,
            "moments": estimation.estimate_moments,
            "heads": networks.train_heads,
            "trajectories": trajectories.choose_trajectories,
            "bound": evaluation.evaluate_bound,
            "variances": evaluation.measure_variances,
        }
        for stage, function in functions.items():
            if stage in ("moments", "bound"):
                function(experiment, "tiny", shard=0)
                function(experiment, "tiny", shard=1)
            function(experiment, "tiny")
        for process, shard in itertools.product(("ddpm", "ddim"), (0, 1)):
            stage = f"samples {process}"
            sampling.draw_samples(experiment, "tiny", process, shard)
        stage = "reference"
        for shard in (0, 1, None):
            scoring.extract_reference(experiment, "tiny", shard)
        for process, shard in itertools.product(("ddpm", "ddim"), (0, 1, None)):
            stage = f"fidelity {process}"
            scoring.score_samples(experiment, "tiny", process, shard)
    hook.remove()
    return experiment, folder / "results" / "tiny", passed


def test_passes_are_those_that_a_run_makes(finished):
    experiment, _, passed = finished
    rows = planned(experiment)
    assert set(rows) - set(passed) == {"data", "trajectories"}
    assert {stage: rows[stage].passes for stage in passed} == passed
    assert (
        passed["mean"] == passed["heads"] == 15
        and rows["mean"].cost == 45
        and rows["heads"].cost == 15
    )
    assert not rows["bound"].at_most


def written(path):
    """Bytes of the files of numbers that `path` is, or that are below it."""
    return sum(
        file.stat().st_size
        for file in ([path] if path.is_file() else path.rglob("*"))
        if file.suffix in (".npy", ".npz", ".safetensors")
    )


def test_disk_is_what_a_run_leaves(finished):
    experiment, folder, _ = finished
    rows = planned(experiment)
    tiny, shape = experiment.setting("tiny"), (1, 8, 8)
    assert 0 <= written(folder / "data") - rows["data"].disk < 1000  # headers
    arrays = len(list((folder / "moments").glob("*.npy")))  # each of them has a header of 128 bytes
    assert rows["moments"].disk == written(folder / "moments") - 128 * arrays
    for kind in ("ddpm", "ddim"):  # a file of 4 small images is mostly header
        files = len(list((folder / "samples" / kind).rglob("*.npz")))
        numbers = written(folder / "samples" / kind) - rows[f"samples {kind}"].disk
        assert 0 <= numbers < 1000 * files
    for stage, tensors in (("mean", 150), ("extractor", 40)):
        # safetensors: the name, type, shape and place of each tensor, as JSON
        assert 0 <= written(folder / stage) - rows[stage].disk < 200 * tensors
    assert written(folder / "heads") < 0.2 * rows["mean"].disk  # left out of the plan
    assert speed.mean_network("tiny", tiny, shape).parameters * 4 == rows["mean"].disk


@pytest.mark.parametrize("images, cells", [(200, 1000), (10_000, 50)])
def test_a_row_of_the_bound(tmp_path, images, cells):
    """8 bytes of a number that no compression shortens, 4 of each part, log2(images) bits of the
    image.
    """
    random = np.random.default_rng(0)
    frame = pandas.concat(
        [
            pandas.DataFrame(
                {
                    "trajectory": "even",
                    "variant": f"variant {cell // 7}",
                    "K": 10 * (1 + cell % 7),
                    "image": np.arange(images),
                    "nll_bpd": random.normal(size=images),
                    **{part: random.normal(size=images).astype(np.float32) for part in PARTS},
                }
            )
            for cell in range(cells)
        ]
    )
    frame.to_parquet(tmp_path / "bound.parquet", index=False)
    bytes_a_row = (tmp_path / "bound.parquet").stat().st_size / len(frame)
    assert 20 + math.log2(images) / 8 < bytes_a_row <= passes.BOUND_ROW < 1.25 * bytes_a_row


def test_jobs_and_samples(finished):
    rows = planned(finished[0])
    assert rows["data"].jobs == rows["heads"].jobs == 1
    for stage in ("moments", "bound", "reference", "fidelity ddim"):  # and the one of both shards
        assert rows[stage].jobs == 3
    assert (
        rows["samples ddpm"].jobs == 2 * 3 and rows["samples ddim"].jobs == 2 * 2
    )  # no variant of ddim reads the moments
    assert rows["samples ddim"].samples == 4 * 2 * 2 * 2  # count, variants, K, trajectories
    assert rows["samples ddim"].passes == 4 * 2 * (
        2 + 10 + 2 + len(trajectory.quadratic_ddim(20, 10))
    )
    assert len(trajectory.quadratic_ddim(20, 10)) < 10


def test_steps_of_an_optimal_trajectory_are_bounded():
    """Against trajectories of random costs, and exact where every step is visited anyhow."""
    N, random = 30, np.random.default_rng(0)
    linear, data = schedule.make("linear", N), make_data()
    cells = [
        ("beta", "even", 4),
        ("beta", "optimal", 3),
        ("beta", "optimal", 6),
        ("npr", "quadratic_ddim", 9),
    ]
    most, at_most = passes.steps_visited(N, cells)
    assert at_most
    for last_sound in (N, N - 3):
        found = trajectory.optimal(random.normal(size=(N + 1, N + 1)), [3, 6], last_sound)
        steps = [
            trajectory.fixed(kind, N, K) if kind != "optimal" else found[K] for _, kind, K in cells
        ]
        denoiser = Denoiser(LinearModel(), {}, None, data, linear)  # of β, which reads nothing
        placed = [
            bound.Cell(kind, "beta", K, tuple(taken))
            for (_, kind, K), taken in zip(cells, steps, strict=True)
        ]
        bound.evaluate(denoiser, process.make("ddpm", linear), placed, 1, (0, "test"))
        assert denoiser.model.rows <= most < N
    assert passes.steps_visited(N, [*cells, ("beta", "even", N)]) == (N, False)
    assert passes.steps_visited(N, [("beta", "optimal", 20), ("sn", "optimal", 20)]) == (N, True)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """A function that makes an experiment of settings with the grids and counts of the papers."""
    folder = tmp_path / "workflows" / "settings"
    folder.mkdir(parents=True)
    for name, sections in SETTINGS.items():
        text = {**sections, "mean": {"checkpoint": "nowhere"}, "extractor": {"name": "inception"}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(text))
    monkeypatch.chdir(tmp_path)

    def experiment(*names, **changes):
        raw = yaml.safe_load((ROOT / "params.yaml").read_text())
        raw.update(
            settings=list(names),
            processes={"ddpm": {"variants": ["beta_tilde", "analytic_scalar"]}},
        )
        raw["moments"], raw["bound"]["images"] = {"draws": 50_000}, 10_000
        raw["samples"].update(count=50_000, K=[10, 25, 50, 100, 200, 400, 1000], batch=500)
        raw["shards"] = 10
        return loading.resolve(raw | changes)

    return experiment


def test_the_scale_of_the_papers_by_hand(settings):
    rows = planned(settings("cifar10_ls"))
    assert rows["moments"].passes == 50_000_000 and rows["bound"].passes == 10_000_000
    steps = 9 + variances.STEPS + 4  # of K = 10 and 1000, and those of the maps, all different
    assert 0.9 * 16 * steps < rows["variances"].passes <= 16 * steps
    assert rows["samples ddpm"].passes == 50_000 * (10 + 25 + 50 + 100 + 200 + 400 + 1000) * 2
    assert rows["samples ddpm"].samples == 700_000 and rows["samples ddpm"].jobs == 10 * 2
    assert rows["samples ddpm"].disk == pytest.approx(700_000 * 3072, rel=1e-3)
    # analytic_scalar reads no coordinate by itself: eleven numbers a step are kept
    assert rows["moments"].disk == 11 * 8 * 1001
    assert rows["data"].disk == pytest.approx(60_000 * (3072 + 8), rel=1e-5)
    assert rows["reference"].passes == 60_000 and rows["reference"].disk == 60_000 * 2048 * 4
    assert rows["fidelity ddpm"].passes == 700_000
    assert rows["extractor"].disk == pytest.approx(
        95.6e6, rel=0.01
    )  # the size of torch-fidelity's own file of weights


def test_what_the_metrics_do_not_ask_for_is_not_counted(settings):
    assert set(planned(settings("cifar10_ls", metrics=["nll"]))) == {
        "data",
        "mean",
        "moments",
        "trajectories",
        "bound",
        "variances",
    }
    handcrafted = {"ddpm": {"variants": ["beta_tilde"]}, "ddim": {"variants": ["zero"]}}
    even = {"K": [10], "trajectories": ["even"], "images": 1}
    found = planned(settings("cifar10_ls", metrics=["fid"], processes=handcrafted, bound=even))
    assert set(found) == {
        "data",
        "mean",
        "extractor",
        "trajectories",
        "samples ddpm",
        "samples ddim",
        "reference",
        "fidelity ddpm",
        "fidelity ddim",
    }


def test_a_filter_counts_its_rows(settings, monkeypatch):
    """β̃ at K = 10 takes no moments, and ten passes of each test image."""
    resolve = loading.resolve
    monkeypatch.setattr(loading, "resolve", lambda raw: resolve(raw, changes=raw))
    found = planned(settings("cifar10_ls", metrics=["nll", "fid"], only=["beta_tilde/K10"]))
    assert "moments" not in found and found["bound"].passes == 10 * 10_000
    assert found["samples ddpm"].samples == 50_000 and found["samples ddpm"].jobs == 10


def test_a_reference_is_counted_once_for_settings_that_share_it(settings):
    path = Path("workflows/settings/cifar10_cs.yaml")
    path.write_text(path.with_stem("cifar10_ls").read_text().replace("linear", "cosine"))
    experiment = settings("cifar10_ls", "cifar10_cs")
    found = passes.rows(experiment, known(experiment))
    assert [row.passes for row in found if row.stage == "reference"] == [60_000, 0]
    assert {row.network for row in found if row.stage == "reference"} == {"inception"}


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("lsun_bedroom", 114e6),  # Ho et al. 2020, Appendix B
        (
            "cifar10_ls",
            improved_diffusion_state(128, (1, 2, 2, 2), 3, (1, 2), 3),
        ),  # what the key names of a checkpoint stand for
        ("imagenet64", improved_diffusion_state(128, (1, 2, 3, 4), 3, (2, 3), 3)),
    ],
)
def test_the_networks_of_the_papers(name, parameters):
    options = yaml.safe_load(speed.PUBLISHED.read_text())[name]
    with torch.device("meta"):
        found = speed.count(make_unet(options, (3, 64, 64)))
    if isinstance(parameters, dict):
        assert found == sum(tensor.numel() for tensor in parameters.values())
    else:
        assert round(found, -6) == parameters


def cells(text, setting, stage):
    """The cells of a line of the plan, {column: text}."""
    lines = text.splitlines()
    ends = [0, *(len(rule) for rule in itertools.accumulate(lines[1].split(), "{}  {}".format))]
    line = next(line for line in lines if line.startswith(setting) and f" {stage} " in line)
    columns = [line[start:end].strip() for start, end in itertools.pairwise(ends)]
    return dict(zip(lines[0].split(), columns, strict=True))


def test_what_is_not_known_is_told_in_a_line(settings):
    text = forecast.report(settings("strange"), ["1"])
    remedy = "make it with: snakemake --cores all results/strange/data"
    assert f"strange: the size of its data is not known; {remedy}" in text
    assert "moments" not in text
    folder = Path("results") / "strange" / "data"
    folder.mkdir(parents=True)
    size = {"shape": [3, 8, 8], "train": 90, "test": 10, "levels": 256, "name": "x", "sha256": ""}
    files.write_json(folder / "data.json", size)
    text = forecast.report(settings("strange"), ["inception=2"])
    remedy = "make it with: snakemake --cores all results/strange/mean"
    assert f"--images-per-second strange=N, or {remedy}" in text
    moments = cells(text, "strange", "moments")
    assert (moments["passes"], moments["time"]) == ("50 M", "?")
    assert cells(text, "strange", "mean")["disk"] == "?"
    reference = cells(text, "strange", "reference")
    # 50 s of passes, and 4 s to start each of the ten shards and the job that puts them together
    told = [reference[column] for column in ("passes", "disk", "time")]
    assert told == ["100", "820 kB", "1.6 min"]
    assert "≥" in cells(text, "total", "")["time"]


def test_an_architecture_is_the_checkpoints_where_it_is_there(settings, tmp_path):
    options = {
        "block_out_channels": [32, 64],
        "layers_per_block": 1,
        "down_block_types": ["DownBlock2D"] * 2,
        "up_block_types": ["UpBlock2D"] * 2,
    }
    made = make_unet(options, (3, 32, 32))
    made.save_pretrained(tmp_path / "nowhere" / "unet")
    network = speed.mean_network(
        "cifar10_ls", settings("cifar10_ls").setting("cifar10_ls"), (3, 32, 32)
    )
    assert network.parameters == sum(tensor.numel() for tensor in made.parameters())


def test_time_is_passes_by_the_speed_and_starts(settings):
    text = forecast.report(settings("cifar10_ls"), ["100", "inception=50"])
    assert cells(text, "cifar10_ls", "moments")["time"] == "140 h"  # 5e7 / 100 / 3600
    assert cells(text, "cifar10_ls", "data")["time"] == "4 s"
    hours = 50_000 * 1785 * 2 / 100 / 3600
    assert cells(text, "cifar10_ls", "samples ddpm")["time"] == f"{round(hours, -1):.0f} h"
    starts = (10 + 1) * 4  # of ten shards, and of the job that puts them together
    minutes = (60_000 / 50 + starts) / 60
    assert cells(text, "cifar10_ls", "reference")["time"] == f"{minutes:.0f} min" == "21 min"


def test_the_speed_of_a_network_that_is_named_wins(settings):
    one, all_equal = (
        forecast.report(settings("cifar10_ls"), given)
        for given in (["100", "cifar10_ls=50", "inception=50"], ["50", "inception=50"])
    )
    assert one == all_equal


@pytest.mark.parametrize(
    "text, problem",
    [
        ("cifar=9", "unknown network 'cifar'"),
        ("inception=", "found inception="),
        ("fast", "found fast"),
        ("0", "found 0"),
        ("-3", "found -3"),
        ("nan", "found nan"),
    ],
)
def test_a_speed_that_means_nothing_is_refused(settings, text, problem):
    with pytest.raises(BenchError, match=f"^--images-per-second: .*{problem}"):
        forecast.report(settings("cifar10_ls"), [text])


def test_a_device_is_one_that_was_measured(settings, monkeypatch):
    """Every figure says what it was measured on; another network of the same name has none."""
    table = yaml.safe_load(speed.DEVICES.read_text())
    for device, about in table.items():
        assert {"hardware", "software", "date", "by", "precision"} <= set(about)
        for name, entry in about["networks"].items():
            assert entry["images_per_second"] > 0 and entry["batch"] >= 1, name
        text = forecast.report(settings("cifar10_ls"), device=device)
        assert "?" not in text and "≥" not in text
    with pytest.raises(BenchError, match="^--device: unknown device 'laptop'"):
        forecast.report(settings("cifar10_ls"), device="laptop")
    options = yaml.safe_load(speed.PUBLISHED.read_text())["imagenet64"]
    monkeypatch.setattr(speed, "architecture", lambda name, section: options)
    text = forecast.report(settings("cifar10_ls"), device=device)
    assert "cifar10_ls: its speed is not known: --images-per-second cifar10_ls=N\n" in text


def test_what_is_measured_here_is_an_entry_for_the_table(monkeypatch, tmp_path):
    monkeypatch.setattr(speed, "SECONDS", 0.1)
    experiment = loading.load(ROOT / "params.yaml", [TINY])
    text = forecast.report(experiment)
    entry = text.partition("devices.yaml:\n")[2]
    (tmp_path / "devices.yaml").write_text(entry)
    monkeypatch.setattr(speed, "DEVICES", tmp_path / "devices.yaml")
    again = forecast.report(experiment, device="my-machine")
    assert again.splitlines() == text.splitlines()[: len(again.splitlines())]
    assert set(yaml.safe_load(entry)["my-machine"]["networks"]) == {"tiny", "tiny/classifier"}


@pytest.mark.parametrize(
    "value, text",
    [(0, ""), (7, "7"), (999, "1 k"), (24_568, "25 k"), (1e6, "1 M"), (6.4e9, "6.4 G")],
)
def test_two_digits(value, text):
    assert forecast.short(value) == text
    assert forecast.short(value, "B") == (text and text.replace("7", "7 ") + "B")


@pytest.mark.parametrize(
    "seconds, text",
    [(4, "4 s"), (59.7, "60 s"), (61, "1 min"), (3600, "1 h"), (8.9e6 * 3600, "8,900,000 h")],
)
def test_a_time_in_two_digits(seconds, text):
    assert forecast.duration(seconds) == text


def test_networks_without_weights_pass_images(finished, settings):
    """What comes out is as many numbers an image as the disk is reckoned with, and finite."""
    tiny, inception = finished[0].setting("tiny"), settings("cifar10_ls").setting("cifar10_ls")
    mixture = tiny.model_copy(
        update={
            "data": DataSection(name="mixture", components=2, dim=3, train=9, test=9),
            "mean": tiny.mean.model_copy(
                update={"unet": None, "train": None, "oracle": OracleSection()}
            ),
            "heads": None,
        }
    )
    for network, features in [
        (speed.mean_network("tiny", tiny, (1, 8, 8)), 64),
        (speed.mean_network("m", mixture, (3, 1, 1)), 3),
        (speed.feature_network("tiny", tiny, (1, 8, 8)), 64),
        (speed.feature_network("cifar10_ls", inception, (3, 32, 32)), 2048),
    ]:
        with torch.inference_mode():
            found = network.make("cpu")(2)
        assert (
            network.outputs == features
            and found.reshape(2, -1).shape == (2, features)
            and found.isfinite().all()
        )


def test_a_pass_is_the_batch_or_what_fits_into_the_time(monkeypatch):
    """With a clock that only passes move: an image takes a second of them."""
    now, sizes = [0.0], []

    def step(n):
        sizes.append(n)
        now[0] += n

    monkeypatch.setattr(speed.time, "process_time", lambda: now[0])
    assert speed.images_per_second(step, batch=6, seconds=1000) == (1.0, 6)
    assert sizes == [1, 1] + [6] * speed.REPEATS
    sizes.clear()
    assert speed.images_per_second(step, batch=64, seconds=10) == (1.0, 2) and sum(sizes) <= 12
    sizes.clear()
    assert speed.images_per_second(step, batch=64, seconds=0.5) == (1.0, 1) and sizes == [1, 1, 1]


def test_overlays_are_merged_as_snakemake_merges_them(tmp_path):
    """What a Snakefile sees of the same files."""
    overlays = [
        {
            "name": "both",
            "settings": ["tiny"],
            "samples": {"K": [5], "count": 40},
            "processes": {"ddim": {"variants": ["zero"]}},
        },
        {
            "samples": {"K": [7]},
            "seed": 3,
            "processes": {"ddpm": {"variants": ["beta"]}},
            "bound": {"K": [10]},
        },
    ]
    names = [f"overlay{index}.yaml" for index in range(len(overlays))]
    for name, overlay in zip(names, overlays, strict=True):
        (tmp_path / name).write_text(yaml.safe_dump(overlay))
    (tmp_path / "Snakefile").write_text(
        f"configfile: '{ROOT / 'params.yaml'}'\nimport json\n"
        "json.dump(config, open('merged.json', 'w'))\nrule all:\n    shell: ':'\n"
    )
    subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--configfile", *names],
        cwd=tmp_path,
        check=True,
        env=environment(),
        capture_output=True,
    )
    found = loading.load(ROOT / "params.yaml", [tmp_path / name for name in names])
    assert found == loading.resolve(json.loads((tmp_path / "merged.json").read_text()))
    tiny = found.setting("tiny")
    assert (found.seed, tiny.samples.K, tiny.samples.count, tiny.bound.images) == (3, [7], 40, 180)


@pytest.mark.parametrize("overlay", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_can_be_planned(overlay, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rate = {"images_per_second": 100.0}
    monkeypatch.setattr(
        speed, "measure", lambda networks, device: {network.name: rate for network in networks}
    )
    assert "?" not in forecast.report(loading.load(ROOT / "params.yaml", [overlay]))


@pytest.mark.parametrize(
    "name, given", [("digits", {}), ("mixture", {"components": 2, "dim": 3, "train": 7, "test": 5})]
)
def test_the_size_that_a_reader_gives_is_that_of_what_it_reads(name, given, tmp_path):
    found = dataset.size(name, given, tmp_path)
    dataset.prepare(name, tmp_path / "data", given)
    made = dataset.load(tmp_path / "data")
    assert found == dataset.Size(
        made.shape, len(made.train), len(made.test), made.levels, made.train_labels is not None
    )


def test_the_command_plans_without_a_file_and_refuses_before_torch_is_loaded(tmp_path):
    run = bench(tmp_path, "plan", "--config", str(ROOT / "params.yaml"), "--configfile", str(TINY))
    assert run.returncode == 0, run.stderr
    lines = {
        line[:24].strip(): line.split()
        for line in run.stdout.splitlines()
        if line.startswith(("tiny", "total"))
    }
    assert (
        lines["tiny       moments"][2:4] == ["2", "k"]
        and float(lines["total"][-2]) > 0
        and os.listdir(tmp_path) == []
    )
    (tmp_path / "bad.yaml").write_text("name: bad\nmoments: {draws: 0}\n")
    refused = (
        "import sys; from bench import cli\n"
        f"config = {str(ROOT / 'params.yaml')!r}\n"
        "try: cli.main(['plan', '--config', config, '--configfile', 'bad.yaml'])\n"
        "except SystemExit as error: print(error, 'torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", refused],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert run.stdout.startswith("bench plan: error: ") and run.stdout.endswith("found 0 False\n")
    assert len(run.stdout.splitlines()) == 1


def test_an_overlay_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BenchError, match="nowhere.yaml: cannot be read"):
        loading.load(ROOT / "params.yaml", [tmp_path / "nowhere.yaml"])
