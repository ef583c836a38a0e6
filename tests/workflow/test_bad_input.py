"""Bad input, as a table: each is one line on stderr that names the key or file, what was found
and what is expected.

The commands run in a copy of a finished run of the tiny experiment; none of them may change
anything in it.
"""

import os
import pickle

import numpy as np
import pytest
import torch
import yaml

from bench import cli, training
from bench.data.dataset import Raw
from bench.data.readers import digits
from bench.experiment import sections
from bench.mean import checkpoint, storage
from bench.mean.train import make_unet
from bench.runtime import files
from bench.runtime.errors import BenchError
from tests.helpers.models import OPTIONS
from tests.helpers.runs import CONFIG, ROOT, TABLES, TINY, snakemake

SETTING = ["--setting", "tiny"]


def config(path, value):
    """Sets a dotted key of the resolved configuration (`*` is the setting) and runs
    `bench config`.
    """

    def arrange(folder, patch):
        file = folder / CONFIG
        raw = yaml.safe_load(file.read_text())
        *parents, last = path.replace("*", "settings.tiny").split(".")
        place = raw
        for key in parents:
            place = place[key]
        if value is DELETE:
            del place[last]
        else:
            place[last] = value
        file.write_text(yaml.safe_dump(raw))
        return ["config"]

    return arrange


DELETE = object()


def broken(file, stage, keep=0.5, options=SETTING):
    """Truncates a file of the run, or deletes it for keep = None, and runs the stage that
    reads it.
    """

    def arrange(folder, patch):
        path = folder / "results" / file
        if keep is None:
            path.unlink()
        else:
            os.truncate(path, int(path.stat().st_size * keep))
        return [stage, *options]

    return arrange


def command(*arguments):
    return lambda folder, patch: list(arguments)


def text(file, content, *arguments):
    """Writes a file of the run and runs a command."""

    def arrange(folder, patch):
        (folder / file).write_text(content)
        return list(arguments)

    return arrange


def another_network(folder, patch):
    """A mean model for images of three channels."""
    storage.save(make_unet(OPTIONS, (3, 8, 8)), "epsilon", folder / "results" / "tiny" / "mean")
    return ["moments", *SETTING]


def another_head(folder, patch):
    """A complex head where heads.json says simple."""
    path = folder / "results" / "tiny" / "heads" / "heads.json"
    files.write_text(path, path.read_text().replace('"sn": "complex"', '"sn": "simple"'))
    return ["bound", *SETTING]


def pickled_images(folder, patch):
    path = folder / "results" / "tiny" / "data" / "train.npy"
    with files.writing(path) as partial, open(partial, "wb") as file:
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    return ["moments", *SETTING]


def unwritable(folder, patch):
    """A file where the folder of the extractor's checkpoints should be, and one where results
    should be written.
    """
    (folder / TABLES / "plots").rename(folder / TABLES / "elsewhere")
    (folder / TABLES / "plots").write_text("in the way")
    return ["tables"]


def another_setting(folder, patch):
    """A params.yaml, beside the settings' files, that names a setting which is not there."""
    (folder / "workflows").symlink_to(ROOT / "workflows")
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    (folder / "params.yaml").write_text(yaml.safe_dump({**raw, "settings": ["tinny"]}))
    return ["config", "--config", "params.yaml"]


def no_server(folder, patch):
    patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    return ["store"]


def reader(train=(4, 1, 8, 8), test=(4, 1, 8, 8), level=16):
    """The digits' reader returns images of these shapes, all of one level."""

    def arrange(folder, patch):
        raw = Raw(
            np.full(train, level, dtype=np.uint8), np.full(test, level, dtype=np.uint8), levels=17
        )
        patch.setattr(digits, "read", lambda: raw)
        return ["data", *SETTING]

    return arrange


def then(change, *arguments):
    """Changes the resolved configuration and runs a stage with it."""

    def arrange(folder, patch):
        change(folder, patch)
        return list(arguments)

    return arrange


MIXTURE = {"name": "mixture", "components": 2, "dim": 2, "train": 4, "test": 180}
CASES = {
    "key misspelt": (
        config("*.moments.drwas", 3),
        "moments.drwas: unknown key 'drwas'; did you mean 'draws'",
    ),
    "section misspelt": (config("*.momnts", {}), "unknown key 'momnts'; did you mean 'moments'"),
    "wrong type": (
        config("*.moments.draws", "many"),
        "moments.draws: input should be a valid integer, found 'many'",
    ),
    "float for int": (
        config("*.moments.draws", 2.5),
        "moments.draws: input should be a valid integer, found 2.5",
    ),
    "bool for int": (
        config("*.moments.draws", True),
        "moments.draws: input should be a valid integer, found True",
    ),
    "negative": (
        config("*.bound.images", -1),
        "bound.images: input should be greater than or equal to 1, found -1",
    ),
    "zero": (
        config("*.schedule.N", 0),
        "schedule.N: input should be greater than or equal to 1, found 0",
    ),
    "NaN": (
        config("*.fidelity.target_fid", float("nan")),
        "fidelity.target_fid: input should be a finite number, found nan",
    ),
    "infinite": (
        config("*.mean.train.learning_rate", float("inf")),
        "learning_rate: input should be a finite number",
    ),
    "nothing": (config("seed", None), "seed: input should be a valid integer, found None"),
    "missing key": (config("*.schedule.N", DELETE), "schedule.N: missing"),
    "missing section": (config("*.data", DELETE), "data: missing"),
    "K > N": (config("*.bound.K", [101]), "bound.K: expected 2 ≤ K ≤ schedule.N = 100"),
    "K = 0": (
        config("*.samples.K", [0]),
        "samples.K.0: input should be greater than or equal to 1, found 0",
    ),
    "K no number": (
        config("*.samples.K", ["ten"]),
        "samples.K.0: input should be a valid integer, found 'ten'",
    ),
    "K twice": (
        config("*.samples.K", [5, 5]),
        "samples.K: expected no repetitions, found 5 2 times",
    ),
    "K no list": (config("*.samples.K", 5), "samples.K: input should be a valid list, found 5"),
    "stride": (
        config("*.bound.K", [3]),
        "bound.K: trajectory even_ddim: a stride of 33 gives 4 steps for K = 3",
    ),
    "no variants": (
        config("*.processes.ddpm.variants", []),
        "processes.ddpm.variants: list should have at least 1 item",
    ),
    "unknown variant": (
        config("*.processes.ddpm.variants", ["nrp"]),
        "unknown variant 'nrp'; did you mean 'npr'",
    ),
    "beta with ddim": (
        config("*.processes.ddim.variants", ["beta"]),
        "variant 'beta' is not defined for process 'ddim'",
    ),
    "head not configured": (
        config("*.heads.targets", {"npr": "simple"}),
        "variant 'sn' needs the head 'sn', which is not",
    ),
    "unknown head": (config("*.heads.targets", {"nrp": "simple"}), "heads.targets.nrp"),
    "unknown mode": (
        config("*.heads.targets.npr", "big"),
        "heads.targets.npr: input should be 'simple', 'complex', 'mlp'",
    ),
    "unknown process": (
        config("*.processes.dpm", {"variants": ["beta"]}),
        "unknown key 'dpm'; did you mean 'ddpm'",
    ),
    "no process": (config("*.processes", {}), "processes: expected at least one of ddpm, ddim"),
    "eta": (
        config("*.processes.ddim.eta", -0.1),
        "ddim.eta: input should be greater than or equal to 0, found -0.1",
    ),
    "unknown trajectory": (
        config("*.bound.trajectories", ["evn"]),
        "unknown trajectory 'evn'; did you mean 'even'",
    ),
    "unknown schedule": (
        config("*.schedule.name", "linaer"),
        "unknown schedule 'linaer'; did you mean 'linear'",
    ),
    "unknown metric": (config("metrics", ["fdi"]), "unknown metric 'fdi'; did you mean 'fid'"),
    "no extractor": (
        config("*.extractor", None),
        "fid needs settings.tiny.extractor, which is not configured",
    ),
    "two means": (
        config("*.mean.checkpoint", "x"),
        "mean: expected either unet and train, or one of checkpoint, pu",
    ),
    "unknown format": (
        config("*.mean", {"published": {"format": "pytorch_difusion", "path": "x"}}),
        "mean.published.format: unknown format 'pytorch_difusion'; did you "
        "mean 'pytorch_diffusion'",
    ),
    "option of no format": (
        config(
            "*.mean",
            {"published": {"format": "pytorch_diffusion", "path": "x", "attention_heads": 1}},
        ),
        "mean.published.attention_heads: unknown key 'attention_heads'",
    ),
    "no settings": (config("settings", []), "settings: expected a list of setting names, found []"),
    "unknown setting in a list": (another_setting, "unknown setting 'tinny'; did you mean 'tiny'"),
    "unknown setting": (
        command("data", "--setting", "tinny"),
        "unknown setting 'tinny'; did you mean 'tiny'",
    ),
    "unknown stage": (command("sample"), "no such command 'sample'"),
    "unknown option": (command("data", *SETTING, "--thread", "1"), "no such option '--thread'"),
    "no setting": (command("moments"), "missing option '--setting'"),
    "no such process": (
        command("samples", *SETTING, "--process", "ddmp"),
        "unknown process 'ddmp'; did you mean 'ddpm'",
    ),
    "shard": (
        command("samples", *SETTING, "--process", "ddpm", "--shard", "9"),
        "expected 0 ≤ shard < samples.shards = 1",
    ),
    "threads": (
        command("moments", *SETTING, "--threads", "0"),
        "'--threads' (env var: 'BENCH_THREADS'): 0 is not in the range x>=1",
    ),
    "no configuration": (
        command("config", "--config", "nowhere.yaml"),
        "nowhere.yaml: cannot be read (No such file",
    ),
    "no YAML": (
        text("bad.yaml", "a: [1", "config", "--config", "bad.yaml"),
        "bad.yaml: not valid YAML",
    ),
    "no mapping": (
        text("bad.yaml", "- 1", "config", "--config", "bad.yaml"),
        "bad.yaml: expected a mapping of keys, found list",
    ),
    "YAML that runs code": (
        text(
            "bad.yaml",
            "x: !!python/object/apply:os.system [touch pwned]",
            "config",
            "--config",
            "bad.yaml",
        ),
        "bad.yaml: not valid YAML",
    ),
    "truncated array": (
        broken("tiny/moments/eps_sq.npy", "bound"),
        "tiny/moments/eps_sq.npy: corrupt or truncated",
    ),
    "empty array": (
        broken(
            "tiny/moments/eps_sq_mean.npy",
            "trajectories",
            keep=0,
            options=[*SETTING, "--kind", "optimal"],
        ),
        "tiny/moments/eps_sq_mean.npy: corrupt or truncated",
    ),
    "missing array": (
        broken("tiny/moments/eps_sq.npy", "bound", keep=None),
        "tiny/moments/eps_sq.npy: missing; make it with: snakemake --cores all "
        "--forcerun results/tiny/moments",
    ),
    "truncated parquet": (
        broken("tiny/bound.parquet", "cells", options=[]),
        "tiny/bound.parquet: corrupt or truncated",
    ),
    "truncated weights": (
        broken("tiny/mean/unet/diffusion_pytorch_model.safetensors", "moments"),
        "make it again with: snakemake --cores all --forcerun "
        "results/tiny/mean -- results/tiny/mean",
    ),
    "truncated head": (
        broken("tiny/heads/npr.safetensors", "bound"),
        "heads/npr.safetensors: corrupt or truncated",
    ),
    "truncated json": (
        broken("tiny/trajectories/even.json", "bound"),
        "tiny/trajectories/even.json: corrupt or truncated",
    ),
    "truncated images": (
        broken("tiny/data/train.npy", "moments"),
        "tiny/data/train.npy: corrupt or truncated",
    ),
    "truncated samples": (
        broken(
            "tiny/samples/ddim/heads/npr/even_K5/0.npz",
            "fidelity",
            options=[*SETTING, "--process", "ddim"],
        ),
        "npr/even_K5/0.npz: corrupt or truncated",
    ),
    "truncated csv": (
        broken("tiny-tables/cells.csv", "tables", keep=0, options=[]),
        f"{TABLES}/cells.csv: corrupt or truncated",
    ),
    "missing data": (
        broken("tiny/data/data.json", "moments", keep=None),
        "data/data.json: missing; make it with: snakemake --cores all "
        "--forcerun results/tiny/data -- results",
    ),
    "pickled images": (
        pickled_images,
        "tiny/data/train.npy: corrupt or truncated (Array can't be memory-mapped: Python objects",
    ),
    "network of other channels": (
        another_network,
        "3 input and 3 output channels, expected 1 of each",
    ),
    "head of another architecture": (another_head, "heads/sn.safetensors: corrupt"),
    "images out of range": (
        reader(test=(16, 1, 8, 8), level=17),
        "data set 'digits': expected levels 0..16, found 17",
    ),
    "no test split": (
        reader(test=(0, 1, 8, 8)),
        "the test split is empty; expected both a train and a test split",
    ),
    "splits of other channels": (
        reader(test=(4, 3, 8, 8)),
        "one shape in both splits, found (1, 8, 8) and (3, 8, 8)",
    ),
    "too many test images": (
        then(config("*.bound.images", 181), "data", *SETTING),
        "at most the 180 test images of tiny",
    ),
    "too few images for FID": (
        config("*.samples.count", 3),
        "count: input should be greater than or equal to 4, found 3",
    ),
    "more shards than batches": (
        config("*.samples.shards", 4),
        "samples: shards: expected at most 3, the batches of 16 in 40",
    ),
    "unknown data set": (
        config("*.data.name", "digts"),
        "unknown data set 'digts'; did you mean 'digits'",
    ),
    "option of no reader": (config("*.data.path", "x"), "data.path: unknown key 'path'"),
    "option misspelt": (
        config("*.data", MIXTURE | {"componnets": 2}),
        "unknown key 'componnets'; did you mean 'components'",
    ),
    "option missing": (config("*.data", {"name": "cifar10"}), "data.path: missing"),
    "option of another type": (
        config("*.data", MIXTURE | {"dim": "two"}),
        "data.dim: input should be a valid integer, found",
    ),
    "no archive": (
        then(config("*.data", {"name": "cifar10", "path": "nowhere.tar.gz"}), "data", *SETTING),
        "data.path: nowhere.tar.gz: no such file or folder; expected the "
        "archive from https://www.cs.toronto.edu",
    ),
    "no clip levels": (
        then(config("*.clip_levels", None), "data", *SETTING),
        "clip_levels: expected y of ddpm and ddim",
    ),
    "clip levels of vectors": (
        then(config("*.data", MIXTURE), "data", *SETTING),
        "clip_levels: expected none, as continuous",
    ),
    "exact mean of digits": (
        then(config("*.mean", {"oracle": {}}), "mean", *SETTING),
        "mean.oracle: expected data whose law is",
    ),
    "negative imperfection": (
        config("*.mean", {"oracle": {"imperfection": -1}}),
        "imperfection: input should be greater than",
    ),
    "head for vectors": (
        then(config("*.heads.targets.npr", "mlp"), "heads", *SETTING),
        "mode mlp is for vectors",
    ),
    "unknown extractor": (
        config("*.extractor.name", "clasifier"),
        "unknown extractor 'clasifier'; did you mean 'classifier'",
    ),
    "extractor untrained": (
        then(config("*.extractor.train", None), "extractor", *SETTING),
        "extractor.train: missing",
    ),
    "file in the way": (unwritable, f"{TABLES}/plots/nll.csv: cannot be written"),
    "no MLflow server": (no_server, "MLFLOW_TRACKING_URI: http://127.0.0.1:9 does not answer"),
}


def contents(folder):
    """Every file of the run but those of Snakemake and MLflow."""
    return {path: path.read_bytes() for path in (folder / "results").rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case, copy, monkeypatch, capsys):
    arrange, message = CASES[case]
    monkeypatch.chdir(copy)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    arguments = arrange(copy, monkeypatch)
    before = contents(copy)
    if "--config" not in arguments and arguments[0] not in ("sample",):
        arguments += ["--config", CONFIG]
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    told = (
        caught.value.code if isinstance(caught.value.code, str) else capsys.readouterr().err.strip()
    )
    assert message in told and "\n" not in told and "Traceback" not in told
    assert caught.value.code not in (0, None)
    assert contents(copy) == before and not (copy / "pwned").exists()


def test_there_are_enough_cases():
    assert len(CASES) >= 40


OVERLAYS = {
    "key misspelt": (
        "moments: {drwas: 3}",
        "bad.yaml: moments.drwas: unknown key 'drwas'; did you mean 'draws'? "
        "(known: draws, relative_error)",
    ),
    "wrong type": (
        "bound: {images: many}",
        "bad.yaml: bound.images: input should be a valid integer",
    ),
    "NaN": (
        "fidelity: {target_fid: .nan}",
        "bad.yaml: fidelity.target_fid: input should be a finite number, found nan",
    ),
    "K > N": (
        "samples: {K: [2000]}",
        "expected 2 ≤ K ≤ schedule.N = 100 for trajectory 'even', found 2000",
    ),
    "no variants": (
        "processes: {ddpm: {variants: []}}",
        "variants: list should have at least 1 item after validation, not 0",
    ),
    "unknown setting": (
        "settings: [tinny]",
        "unknown setting 'tinny'; did you mean 'tiny'? (known: ",
    ),
    "unknown metric": (
        "metrics: [fdi]",
        "metrics: unknown metric 'fdi'; did you mean 'fid'? "
        "(known: fid, fid_clean, fid_legacy_pytorch, isc, kid, nll, precision, recall)",
    ),
}


@pytest.mark.parametrize("case", OVERLAYS)
def test_bad_overlay(case, tmp_path):
    """Through Snakemake, before anything runs."""
    changes, message = OVERLAYS[case]
    overlay = tmp_path / "bad.yaml"
    overlay.write_text(yaml.safe_dump(yaml.safe_load(TINY.read_text()) | yaml.safe_load(changes)))
    run = snakemake(tmp_path, "tables", "--configfile", str(overlay))
    assert run.returncode == 1 and "Traceback" not in run.stderr
    (line,) = [line for line in run.stderr.splitlines() if "error" in line.lower()]
    assert line.startswith("error: ") and message in line
    assert sorted(path.name for path in tmp_path.iterdir()) in (
        ["bad.yaml"],
        [".snakemake", "bad.yaml"],
    )


def test_a_mistake_that_only_a_job_can_see(tmp_path):
    """More test images than there are: the data job says so in a line among Snakemake's own, and
    leaves nothing.
    """
    overlay = tmp_path / "bad.yaml"
    overlay.write_text(TINY.read_text().replace("images: 16", "images: 181"))
    found = snakemake(tmp_path, "results/tiny/bound.parquet", "--configfile", str(overlay))
    assert found.returncode == 1 and "Traceback" not in found.stderr
    (told,) = {line for line in found.stderr.splitlines() if line.startswith("bench data: error")}
    assert (
        told == "bench data: error: bound.images: expected at most the 180 test images "
        "of tiny, found 181"
    )
    assert not (tmp_path / "results" / "tiny" / "bound.parquet").exists()


class Hostile:
    """A pickle of it runs a command when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_a_hostile_checkpoint_runs_nothing(tmp_path):
    """The state of an interrupted training is read with weights_only."""
    path, marker = tmp_path / "mean.pt", tmp_path / "pwned"
    path.write_bytes(pickle.dumps(Hostile(marker), protocol=2))
    section = sections.TrainSection(steps=1, batch=1, learning_rate=1e-3, ema=0.9)
    content, network = path.read_bytes(), torch.nn.Linear(1, 1)
    training.train(network, lambda step: network.weight.sum(), section, path, "any")
    assert not marker.exists() and not path.exists()
    pickle.loads(content)  # what any other reader would have done
    assert marker.exists()


def test_a_hostile_network_runs_nothing(tmp_path):
    """A folder in diffusers' layout whose weights are a pickle, not safetensors."""
    make_unet(OPTIONS, (1, 8, 8)).save_pretrained(tmp_path / "unet")
    (tmp_path / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (tmp_path / "unet" / "diffusion_pytorch_model.bin").write_bytes(
        pickle.dumps(Hostile(tmp_path / "pwned"))
    )
    with pytest.raises(
        BenchError, match="expected config.json and diffusion_pytorch_model.safetensors"
    ):
        checkpoint.read(tmp_path, sections.ScheduleSection(name="linear", N=1000))
    assert not (tmp_path / "pwned").exists()


def test_hostile_arrays_are_refused(tmp_path):
    """An object array in an npz file is a pickle; it is not loaded."""
    np.savez(tmp_path / "0.npz", images=np.array([Hostile(tmp_path / "pwned")], dtype=object))
    with pytest.raises(BenchError, match="0.npz: corrupt or truncated"):
        files.read_npz(tmp_path / "0.npz")
    assert not (tmp_path / "pwned").exists()
