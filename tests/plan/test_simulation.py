"""The schedule on several GPUs: closed forms, other simulations, Graham's bounds, the real DAG."""

import itertools
import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import cli
from bench.data import dataset
from bench.experiment import loading
from bench.plan import forecast, passes, simulation, speed
from bench.plan.simulation import Schedule, Stage, simulate
from bench.runtime import paths
from bench.runtime.errors import BenchError
from tests.helpers.runs import ROOT, TINY, snakemake

RULES = ROOT / "workflows" / "rules"
DIM = 64  # of the digits


@pytest.mark.parametrize("jobs, gpus", [(1, 1), (7, 1), (7, 2), (7, 3), (8, 4), (3, 50)])
def test_equal_jobs_that_read_nothing(jobs, gpus):
    found = simulate([Stage("samples", (2.5,) * jobs)], gpus)
    assert found.seconds == 2.5 * math.ceil(jobs / gpus)
    assert found.critical_path == 2.5 and found.work == 2.5 * jobs and found.jobs == jobs
    assert found.idle == pytest.approx(1 - jobs / (gpus * math.ceil(jobs / gpus)))


@pytest.mark.parametrize("gpus", [1, 2, 100])
def test_a_chain_takes_the_sum(gpus):
    chain = [Stage("c", (4.0,), ("b",)), Stage("b", (2.0,), ("a",)), Stage("a", (1.0,))]
    found = simulate(chain, gpus)
    assert found.seconds == found.critical_path == 7
    assert found.idle == pytest.approx(1 - 1 / gpus)


def test_a_fork_and_a_priority():
    """On 2 GPUs a 3 s job beside two of 2 s: first it takes 4 s, last it takes 5 s."""
    for priority, seconds in ((1, 4), (-1, 5)):
        stages = [Stage("small", (2.0, 2.0)), Stage("large", (3.0,), priority=priority)]
        assert simulate(stages, 2).seconds == seconds


def test_a_job_without_a_network_takes_no_gpu():
    found = simulate([Stage("tables", (5.0,), on_gpu=False), Stage("samples", (3.0, 3.0))], 1)
    assert found.seconds == 6 and found.idle == 0


@st.composite
def workflows(draw):
    """Stages that read some of those before them, with whole seconds."""
    stages = []
    for number in range(draw(st.integers(1, 6))):
        seconds = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
        earlier = [stage.name for stage in stages]
        after = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        priority = draw(st.integers(0, 3))
        stages.append(Stage(str(number), tuple(map(float, seconds)), tuple(after), priority))
    return stages


@given(workflows(), st.integers(1, 5))
def test_the_time_is_within_grahams_bounds(stages, gpus):
    found = simulate(stages, gpus)
    assert found.work == sum(sum(stage.seconds) for stage in stages)
    least = max(found.critical_path, found.work / gpus)
    rest = (1 - 1 / gpus) * found.critical_path
    assert least <= found.seconds <= found.work / gpus + rest + 1e-9
    assert 0 <= found.idle < 1


@given(workflows(), st.integers(1, 5))
def test_the_time_is_that_of_a_clock(stages, gpus):
    """Second by second, and with the longest chain of all chains."""
    assert simulate(stages, gpus).seconds == by_a_clock(stages, gpus)
    after = {stage.name: stage for stage in stages}

    def chains(name):
        own = max(after[name].seconds)
        return own + max((chains(other) for other in after[name].after), default=0)

    assert simulate(stages, gpus).critical_path == max(map(chains, after))


def by_a_clock(stages, gpus):
    """The time of whole seconds: at each, free GPUs take the ready jobs of greatest priority."""
    left = {stage.name: len(stage.seconds) for stage in stages}
    waiting, running, now = list(stages), [], 0
    ready = []
    while waiting or ready or running:
        for stage in [stage for stage in waiting if not any(left[name] for name in stage.after)]:
            waiting.remove(stage)
            ready += [[stage, seconds] for seconds in stage.seconds]
        ready.sort(key=lambda job: -job[0].priority)
        while ready and len(running) < gpus:
            running.append(ready.pop(0))
        for job in running:
            job[1] -= 1
            left[job[0].name] -= not job[1]
        running, now = [job for job in running if job[1]], now + 1
    return now


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 3))
def test_the_best_order_of_jobs_is_among_the_priorities(seconds, gpus):
    """The best of all ways to share out jobs; any order is within (2 − 1/GPUs) of it."""
    ways = itertools.product(range(gpus), repeat=len(seconds))
    loads = [
        [sum(s for s, to in zip(seconds, way, strict=True) if to == gpu) for gpu in range(gpus)]
        for way in ways
    ]
    best = min(max(load) for load in loads)
    times = [
        simulate([Stage(str(n), (float(s),), (), order[n]) for n, s in enumerate(seconds)], gpus)
        for order in itertools.permutations(range(len(seconds)))
    ]
    assert min(found.seconds for found in times) == best
    assert max(found.seconds for found in times) <= (2 - 1 / gpus) * best


def test_more_gpus_pay_until_the_critical_path_is_most_of_the_time():
    def schedule_on(gpus):  # 1000 s that can be cut, after 100 s that cannot
        return Schedule(gpus, 100 + 1000 / gpus, 100, 1100, gpus)

    # from 64 to 128: 115.6 to 107.8 s, 7 %; from 32 to 64: 131.3 to 115.6 s, 12 %
    assert simulation.enough(schedule_on) == 64


def stages_of_tiny(shards, start_up=4.0, rate=100.0):
    """(experiment, rows, stages) of the tiny experiment at a speed for all networks."""
    experiment = loading.load(ROOT / "params.yaml", [TINY])
    tiny = experiment.setting("tiny")
    size = dataset.size("digits", {}, paths.Setting("tiny").data)
    networks = (
        speed.mean_network("tiny", tiny, size.shape),
        speed.feature_network("tiny", tiny, size.shape),
    )
    rows = passes.rows(experiment, {"tiny": (size, *networks)})
    stages = simulation.stages_of(
        experiment, {"tiny": DIM}, rows, lambda row: row.cost / rate, shards, start_up
    )
    return experiment, rows, {stage.name.removeprefix("tiny "): stage for stage in stages}


@pytest.mark.parametrize("shards", [1, 3, 1000])
def test_shards_move_passes_between_jobs_and_lose_none(shards):
    experiment, rows, stages = stages_of_tiny(shards, start_up=0.0)
    for row in rows:
        parts = [stage for name, stage in stages.items() if f"{name} ".startswith(f"{row.stage} ")]
        seconds = sum(sum(stage.seconds) for stage in parts)
        assert seconds == pytest.approx(row.cost / 100)
    jobs = {name: len(stage.seconds) for name, stage in stages.items()}
    assert jobs["mean"] == jobs["heads"] == jobs["variances"] == 1
    most = {"moments": 100, "bound": 1, "samples ddpm heads": 3, "reference": 2}  # 16 images a pass
    assert {name: jobs[name] for name in most} == {n: min(u, shards) for n, u in most.items()}
    cells = len(experiment.setting("tiny").cells("samples", "ddim"))
    assert jobs["fidelity ddim"] == min(cells, shards)


def test_one_gpu_takes_as_long_as_the_plan_says():
    """But for the jobs that take no GPU, and those of the tables, which are no row."""
    _, rows, stages = stages_of_tiny(1)
    planned = sum(row.jobs * 4.0 + row.cost / 100 for row in rows)
    beside = sum(sum(stage.seconds) for stage in stages.values() if not stage.on_gpu)
    work = simulate(list(stages.values()), 1).work
    assert work + beside == pytest.approx(planned + 4.0 + sum(stages["tables"].seconds))


def test_stages_read_what_the_jobs_of_the_workflow_read(tmp_path):
    run = snakemake(tmp_path, "tables", "--dag", "dot", "--configfile", str(TINY))
    assert run.returncode == 0, run.stderr
    nodes = dict(re.findall(r'^\t(\d+)\[label = "([^"]*)"', run.stdout, re.MULTILINE))
    edges = re.findall(r"^\t(\d+) -> (\d+)", run.stdout, re.MULTILINE)
    stages = stages_of_tiny(1)[2]
    in_workflow = {(of_label(nodes[a]), of_label(nodes[b])) for a, b in edges}
    at_the_end = {"tables", "write_tables", "cells", "figures", "thresholds"}
    in_workflow = {edge for edge in in_workflow if edge[1] not in at_the_end}
    in_simulation = {
        (name.removeprefix("tiny "), "fidelity" if reader.startswith("fidelity") else reader)
        for reader, stage in stages.items()
        for name in stage.after
        if reader != "tables"
    }
    assert in_simulation == in_workflow


def of_label(label):
    """The stage of a job of a DAG's picture. The picture does not say the process of fidelity."""
    rule, *wildcards = label.split("\\n")
    values = dict(wildcard.split(": ") for wildcard in wildcards)
    if rule == "trajectories":
        return "optimal" if values["kind"] == "optimal" else rule
    if rule == "samples":
        return f"{rule} {values['process']} {values['needs']}"
    return rule


def test_priorities_are_those_of_the_rules():
    text = "".join(file.read_text() for file in sorted(RULES.glob("*.smk")))
    blocks = re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    found = {rule: re.search(r"priority: (\d+)", block) for rule, block in blocks}
    found = {rule: int(match[1]) for rule, match in found.items() if match}
    assert found == simulation.PRIORITIES
    assert f"{json.dumps(simulation.NEEDS)}[wildcards.needs]" in text
    without = {rule for rule, block in blocks if "gpu=" not in block}
    assert set(simulation.WITHOUT_GPU) - {"optimal"} <= without
    assert not without & {"mean", "heads", "moments", "bound", "bound_2m", "samples", "fidelity"}


def test_the_command_prints_a_schedule(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    speeds = ["--images-per-second", "100", "--images-per-second", "tiny/classifier=100"]
    cli.main(["plan", "--configfile", str(TINY), *speeds, "--gpus", "1,4"])
    printed = capsys.readouterr().out
    lines = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    assert {"1", "4"} <= set(lines) and re.search(r"From \d+ on, twice as many GPUs", printed)
    assert forecast.duration(simulate(list(stages_of_tiny(1)[2].values()), 1).seconds) in lines["1"]


@pytest.mark.parametrize(
    "gpus, message",
    [
        ("many", "--gpus: expected numbers from 1 such as 1,8,64, found many"),
        ("4,0", "--gpus: expected numbers from 1 such as 1,8,64, found 4,0"),
        ("", "--gpus: expected numbers from 1 such as 1,8,64, found nothing"),
        ("4", "--gpus: expected the size and speed of everything; tiny/classifier: "),
    ],
)
def test_what_a_schedule_needs(gpus, message):
    experiment = loading.load(ROOT / "params.yaml", [TINY])
    with pytest.raises(BenchError, match=re.escape(message)):
        forecast.report(experiment, ["100"], None, gpus)
