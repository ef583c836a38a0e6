"""A profile of Snakemake for a cluster: what to ask its scheduler for, for the jobs of each rule.

From the counts of `passes` and the speeds of the networks follow

    runtime   minutes: START_UP, and SAFETY · passes of a job / images per second
    mem_mb    Python and torch, the data, what the stage keeps in memory, the network's weights, and
              on a CPU its activations

A rule that runs for several settings gets the most that one of them takes. Both numbers are times
the attempt: a job that was killed at a limit is tried again with twice of it, then three times.
A stage that is cut into shards has a rule of its own for them, `STAGE_shard`, which has the passes.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from bench import covariance
from bench.plan import forecast, passes, speed
from bench.runtime.errors import BenchError

START_UP = 10  # minutes of a job beside its passes: Python starts three times, from a shared disk
SAFETY = 2  # of the time in networks: a node may be slower than the one that was measured
BASE = 1500  # MB: two processes of Snakemake, and one with torch
CUDA = 2500  # MB: its libraries and buffers in the host's memory
COPIES = 3  # of what a stage keeps in memory
MAPPED = 8000  # MB of the data set at most: it is mapped, and a larger one is read piece by piece
ALIVE = 0.25  # share of a network's activations that an inference has at once; measured: 0.18
GRADIENTS = 2  # a training has all activations, and as many gradients
WEIGHTS = 2  # copies of a network's weights: on the disk's side and on the device's
TRAINED_WEIGHTS = 6  # those, their gradients, two moments of Adam and the average
KEPT = ("moments", "bound", "bound_2m", "reference")  # stages that have in memory what they write


def make(
    experiment: Any,
    base: dict,
    images_per_second: Sequence[str] = (),
    device: str | None = None,
    partition: str | None = None,
    gpu_partition: str | None = None,
    account: str | None = None,
    limit: int | None = None,
) -> dict:
    """The profile `base` with what the rules of an experiment ask for.

    Parameters
    ----------
    experiment
        A `bench.experiment.resolved.Experiment`.
    base
        A profile of Snakemake, as its yaml says it.
    images_per_second, device
        The speed of the networks, as in `bench.plan.forecast.report`.
    partition, gpu_partition, account
        Where jobs run, where those with a GPU run, and who pays. By default what `base` says.
    limit
        The most minutes that a job may ask for. A job that asks for more would never start.

    Raises
    ------
    BenchError
        For an unknown name; if the speed of a network or the size of a data set is not known; and
        if a job takes longer than `limit`.
    """
    known, notes = forecast.known_sizes(experiment)
    rows = passes.rows(experiment, known)
    networks = {each.name: each for _, *pair in known.values() for each in pair if each}
    used = {row.network for row in rows if row.passes}
    if set(known) < set(experiment.selected):
        raise BenchError(notes[0])
    measured = {name: networks[name] for name in used & set(networks)}
    rates = speed.of_device(device, measured) if device else {}
    rates |= speed.given(images_per_second, used & set(known), used)
    for name in sorted(used - set(rates)):
        raise BenchError(f"{name}: its speed is not known; add --images-per-second {name}=N")
    rules = _most(experiment, rows, networks, rates, limit)
    if gpu_partition and experiment.device != "cpu":
        for row in rows:
            for rule, has_passes in rules_of(row).items():
                if has_passes and takes_gpu(row):
                    rules[rule]["slurm_partition"] = gpu_partition
    chosen = {"slurm_partition": partition, "slurm_account": account}
    chosen = {key: value for key, value in chosen.items() if value}
    defaults = {**_capped(base.get("default-resources", {}), limit), **chosen}
    resources = {}
    for rule, need in base.get("set-resources", {}).items():
        resources[rule] = _capped(need, limit and limit // _in_a_row(base, rule))
    return {**base, "default-resources": defaults, "set-resources": {**resources, **rules}}


def _capped(need, limit):
    """What a rule takes, with at most `limit` minutes if there is one."""
    if not limit or "runtime" not in need:
        return need
    return {**need, "runtime": f"min({need['runtime']}, {limit})"}


def _in_a_row(base, rule):
    """How many jobs of a rule's group may follow each other in one job of the cluster, at most: all
    of them. Their times add up.
    """
    group = base.get("groups", {}).get(rule)
    if group is None:
        return 1
    components = dict(entry.split("=") for entry in base.get("group-components", []))
    return list(base["groups"].values()).count(group) * int(components.get(group, 1))


def _most(experiment, rows, networks, rates, limit):
    """{rule: {"runtime": …, "mem_mb": …}}, expressions of Snakemake, in the order of stages."""
    most = {}
    for row in rows:
        setting, network = experiment.setting(row.setting), networks.get(row.network)
        on_gpu = takes_gpu(row) and experiment.device != "cpu"
        rate = rates[row.network]["images_per_second"] if row.passes else None
        longest = minutes(row, rate)
        if limit and longest > limit:
            raise BenchError(
                f"--limit: expected at least the {longest} minutes of {row.setting}, stage "
                f"{row.stage}, found {limit}; cut its jobs into shards, or take faster nodes"
            )
        mem_mb = memory(rows, row, setting, network, on_gpu=on_gpu)
        for rule, has_passes in rules_of(row).items():
            need = {"runtime": longest if has_passes else START_UP, "mem_mb": mem_mb}
            before = most.get(rule, need)
            most[rule] = {key: max(need[key], before[key]) for key in need}
    return {rule: _expressions(need, limit) for rule, need in most.items()}


def _expressions(need, limit):
    """What a rule takes, times the attempt."""
    return _capped({key: f"{value} * attempt" for key, value in need.items()}, limit)


def rules_of(row: passes.Row) -> dict[str, bool]:
    """{rule: whether its jobs have the passes} of the jobs that a row counts.

    They are jobs of its stage's rule. If the stage is cut into shards they are those of the shards,
    and that rule puts them together.
    """
    stage = row.stage.split()[0]
    if row.jobs == 1 or stage == "samples":
        return {stage: True}
    return {stage: False, f"{stage}_shard": True}


def takes_gpu(row: passes.Row) -> bool:
    """Whether the jobs of a row ask for a GPU: those with a network, but for the extractor's."""
    return row.network is not None and row.stage != "extractor"


def minutes(row: passes.Row, rate: float | None) -> int:
    """What a job of a row takes at most. rate: images per second of its network, if it has one."""
    parts = row.jobs - 1  # of several jobs one may put together what the others made
    if row.stage.startswith("samples"):  # a job for each need: one may have nearly all rows
        parts = row.jobs // len(covariance.NEEDS)
    inside = row.cost / max(1, parts) / rate if rate else 0
    return math.ceil(START_UP + SAFETY * inside / 60)


def memory(
    rows: Sequence[passes.Row],
    row: passes.Row,
    setting: Any,
    network: speed.Network | None,
    on_gpu: bool,
) -> int:
    """The MB of the host that a job of a row takes, rounded up to hundreds.

    rows: of all settings; network: of the job; on_gpu: its activations are on a GPU.
    """
    data = next(each.disk for each in rows if (each.setting, each.stage) == (row.setting, "data"))
    kept = row.disk if row.stage in KEPT else 0
    if row.stage.startswith("fidelity"):  # features of the training images, and of a cell's
        kept = 2 * max(each.disk for each in rows if each.stage == "reference")
    taken = BASE + min(MAPPED, data / 1e6) + COPIES * kept / 1e6
    if network:
        trained = row.trained > 0
        taken += 4 * network.parameters / 1e6 * (TRAINED_WEIGHTS if trained else WEIGHTS)
        share = GRADIENTS if trained else ALIVE
        batch = getattr(setting, row.stage).train.batch if trained else network.batch
        taken += CUDA if on_gpu else share * batch * activations(network)
    return math.ceil(taken / 100) * 100


def activations(network: speed.Network) -> float:
    """The MB of what the layers of a network give for an image, all together.

    It passes an image on the device `meta`, which computes shapes alone.
    """
    if not network.parameters:  # a closed form
        return 0.0
    numbers = 0

    def count(module, inputs, output):
        nonlocal numbers
        if isinstance(output, torch.Tensor) and not any(module.children()):
            numbers += output.numel()

    hook = torch.nn.modules.module.register_module_forward_hook(count)
    try:
        with torch.inference_mode():
            network.make("meta")(1)
    finally:
        hook.remove()
    return 4 * numbers / 1e6
