"""What is asked of a cluster: by hand, by the memory of a run, and by Snakemake itself."""

import json
import math
import re
import subprocess
import sys

import pytest
import torch
import yaml

from bench import cli
from bench.experiment import loading
from bench.plan import passes, profile, speed
from bench.runtime.errors import BenchError
from tests.helpers.runs import ROOT, TINY, environment

BASE = ROOT / "workflows" / "profiles" / "slurm" / "config.yaml"
SPEEDS = ["100", "tiny/classifier=1000"]


def base():
    return yaml.safe_load(BASE.read_text())


def tiny(device="auto"):
    """The tiny experiment."""
    return loading.load(ROOT / "params.yaml", [TINY], {"device": device})


def test_minutes_by_hand():
    """Ten, and twice 120 000 images at 100 a second: 40. Of five jobs four share the passes."""
    row = passes.Row("any", "moments", "any", passes=120_000)
    assert profile.minutes(row, 100.0) == 50 and profile.minutes(row, None) == 10
    shards = passes.Row("any", "moments", "any", passes=120_000, jobs=5)
    assert profile.minutes(shards, 100.0) == 20
    assert profile.rules_of(row) == {"moments": True}
    assert profile.rules_of(shards) == {"moments": False, "moments_shard": True}
    needs = passes.Row("any", "samples ddpm", "any", passes=120_000, jobs=3)
    assert profile.minutes(needs, 100.0) == 50
    trained = passes.Row("any", "mean", "any", passes=120_000, trained=120_000)
    assert profile.minutes(trained, 100.0) == 10 + 3 * 40


def test_activations_by_hand():
    """Two layers give 4·8·8 numbers of four bytes each, and what holds them counts for nothing."""

    def make(device):
        layers = [torch.nn.Conv2d(1, 4, 3, padding=1), torch.nn.ReLU()]
        network = torch.nn.Sequential(*layers).to(device)
        return lambda n: network(torch.zeros(n, 1, 8, 8, device=device))

    network = speed.Network("any", 40, 1, 16, make)
    assert profile.activations(network) == pytest.approx(2 * 4 * 64 * 4 / 1e6)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_a_job_gets_the_memory_that_it_took_in_a_run(device, tiny_run):
    """Beside two processes of Snakemake with 200 MB each, which the job has on a cluster."""
    rules = profile.make(tiny(device), base(), SPEEDS)["set-resources"]
    accounts = list((tiny_run / "results" / ".jobs" / "tiny").glob("*.json"))
    assert len(accounts) >= 10
    for file in accounts:
        account = json.loads(file.read_text())
        granted = int(rules[account["stage"]]["mem_mb"].removesuffix(" * attempt"))
        assert account["peak_mb"] + 400 <= granted <= 5000, file.name


def test_partitions_and_account_stand_where_they_are_wanted():
    made = profile.make(
        tiny(), base(), SPEEDS, partition="cpu", gpu_partition="gpu", account="mine"
    )
    assert made["default-resources"]["slurm_partition"] == "cpu"
    assert made["default-resources"]["slurm_account"] == "mine"
    on_gpu = {key for key, need in made["set-resources"].items() if "slurm_partition" in need}
    assert on_gpu == {
        "mean", "moments", "heads", "bound", "variances", "samples", "reference", "fidelity"
    }  # fmt: skip
    made = profile.make(tiny("cpu"), base(), SPEEDS, gpu_partition="gpu")
    assert not any("slurm_partition" in need for need in made["set-resources"].values())


def test_what_puts_shards_together_takes_no_gpu():
    """And no more than a start; the passes of the stage are those of three shards."""
    cut = loading.load(ROOT / "params.yaml", [TINY], {"shards": 3})
    rules = profile.make(cut, base(), ["1", "tiny/classifier=1000"], gpu_partition="gpu")
    rules = rules["set-resources"]
    passes_of_shard = 100 * 20 / 3  # N steps of 20 draws
    assert rules["moments"]["runtime"] == "10 * attempt"
    longest = math.ceil(10 + 2 * passes_of_shard / 60)
    assert rules["moments_shard"]["runtime"] == f"{longest} * attempt"
    assert "slurm_partition" not in rules["moments"]
    assert rules["moments_shard"]["slurm_partition"] == "gpu"


def test_no_job_asks_for_more_than_the_limit():
    """The four rules of the tables are one job, and so are four trajectories."""
    made = profile.make(tiny(), base(), SPEEDS, limit=30)
    rules = made["set-resources"]
    assert rules["data"]["runtime"] == "min(10 * attempt, 30)"
    assert rules["cells"]["runtime"] == rules["write_tables"]["runtime"] == "min(30 * attempt, 7)"
    assert made["default-resources"]["runtime"] == "min(240 * attempt, 30)"
    with pytest.raises(BenchError, match="^--limit: expected at least the .* stage .*, found 5; "):
        profile.make(tiny(), base(), SPEEDS, limit=5)


def test_a_speed_that_is_not_known_is_named_with_its_remedy():
    with pytest.raises(BenchError, match="add --images-per-second tiny/classifier=N$"):
        profile.make(tiny(), base(), ["100"])


def test_snakemake_asks_for_what_the_profile_says(tmp_path, capsys, monkeypatch):
    """Of rules that the workflow has; a group is one job."""
    monkeypatch.chdir(tmp_path)
    speeds = [word for text in SPEEDS for word in ("--images-per-second", text)]
    options = ["--config", str(ROOT / "params.yaml"), "--configfile", str(TINY)]
    options += ["--base", str(BASE), "--gpu-partition", "big", "--limit", "500", "--into", "made"]
    cli.main(["profile", *options, *speeds])
    command = capsys.readouterr().out
    assert command == f"snakemake tables --profile made --configfile {TINY}\n"
    words = command.split()[1:] + ["--snakefile", str(ROOT / "Snakefile"), "--dry-run"]
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", *words],
        env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    planned = {}
    for rule, resources in re.findall(
        r"rule (\w+):\n(?:.+\n)*?.*resources: (.*)", run.stdout + run.stderr
    ):
        planned[rule] = dict(pair.split("=", 1) for pair in resources.split(", ") if "=" in pair)
    made = yaml.safe_load((tmp_path / "made" / "config.yaml").read_text())["set-resources"]
    assert set(made) == set(planned) - {"tables"}
    mean = planned["mean"]
    assert mean["slurm_partition"] == "big" and mean["gpu"] == "1"
    assert f"min({mean['runtime']} * attempt, 500)" == made["mean"]["runtime"]
    assert f"{mean['mem_mb']} * attempt" == made["mean"]["mem_mb"]
