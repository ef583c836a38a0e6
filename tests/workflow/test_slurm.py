"""The workflow on Slurm: a real controller and two nodes on this machine (`slurm_cluster`).

What a person would lose without it: a job that the scheduler kills, a node that fails and a
controller that restarts would end a run of days, or change its numbers.
"""

import re
import subprocess
import sys
import time

import pytest
import torch

from tests.helpers.runs import ROOT, TINY, environment
from tests.workflow import slurm_cluster

PROFILE = ROOT / "workflows" / "profiles" / "slurm"
PATIENCE = 900  # seconds until what a test waits for is taken to have hung

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2 * PATIENCE),
    pytest.mark.skipif(
        bool(slurm_cluster.missing()),
        reason=f"skipped: not installed: {' '.join(slurm_cluster.missing())} "
        "(apt-get install slurm-wlm munge)",
    ),
]


@pytest.fixture
def cluster(tmp_path):
    """A running `slurm_cluster.Cluster`."""
    with slurm_cluster.running(tmp_path / "slurm") as made:
        yield made


def start(cluster, folder, log, *arguments):
    """Snakemake in `folder` with the profile for Slurm, its output going to `log`."""
    command = [sys.executable, "-m", "snakemake", "--profile", PROFILE, *arguments]
    command += ["--slurm-init-seconds-before-status-checks", "1"]
    own = {key: cluster.environment[key] for key in ("SLURM_CONF", "PATH")}
    with open(log, "a") as file:
        return subprocess.Popen(
            command, cwd=folder, env=environment(**own), stdout=file, stderr=file
        )


def wait_for(condition, process, log):
    """What `condition()` gives, as soon as it is true, while `process` is at work."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.1)
    return value


# Jobs with a GPU each. A GPU is named by its node and its number.
GPU_JOBS = """
rule all:
    input: expand("{job}.txt", job=range(4))
rule use_gpu:
    output: "{job}.txt"
    resources: gpu=1, mem_mb=1500, runtime=5
    shell: "PYTHON use_gpu.py > {output}"
"""
USE_GPU = """
import os, time
from bench.runtime import devices
node = os.environ.get("SLURMD_NODENAME", "here")
numbers = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
name = devices.claim({f"{node}-{number}": f"{node}-{number}" for number in numbers}, "locks")
begun = time.time()
time.sleep(2)
print(name, begun, time.time())
"""


def users_of_gpus(folder):
    """{GPU: [(begun, ended) of each of its jobs, in order]}."""
    users = {}
    for file in folder.glob("*.txt"):
        name, *times = file.read_text().split()
        users.setdefault(name, []).append(tuple(map(float, times)))
    return {name: sorted(times) for name, times in users.items()}


@pytest.mark.parametrize("executor", ["local", "slurm"])
def test_every_gpu_has_one_job_at_a_time(executor, request, tmp_path):
    """Snakemake hands out a number of GPUs on one machine, Slurm those of its nodes."""
    (tmp_path / "locks").mkdir()
    (tmp_path / "use_gpu.py").write_text(USE_GPU)
    (tmp_path / "Snakefile").write_text(GPU_JOBS.replace("PYTHON", f"{sys.executable} -P"))
    log = tmp_path / "log"
    if executor == "slurm":
        cluster = request.getfixturevalue("cluster")
        run, first = start(cluster, tmp_path, log), {"n0-0", "n0-1"}
    else:
        command = [sys.executable, "-m", "snakemake", "--cores", "4", "--resources", "gpu=2"]
        env = environment(CUDA_VISIBLE_DEVICES="0,1")
        with open(log, "a") as file:
            run = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=file, stderr=file)
        first = {"here-0", "here-1"}
    assert run.wait(PATIENCE) == 0, log.read_text()[-4000:]
    users = users_of_gpus(tmp_path)
    assert sum(map(len, users.values())) == 4 and first <= set(users)
    for times in users.values():
        assert all(ended <= begun for (_, ended), (begun, _) in zip(times, times[1:], strict=False))


def job_of(cluster, rule):
    """(id, node) of the running job of Slurm that a rule has; None if there is none."""
    listed = cluster.run("squeue", "--noheader", "--states=RUNNING", "--format=%A %N %k")
    found = re.search(rf"^(\d+) (\S+) rule_{rule}(_wildcards|$)", listed, re.MULTILINE)
    return found and found.groups()


@pytest.mark.skipif(torch.cuda.is_available(), reason="the run to compare with is on the GPU")
def test_a_run_with_faults_ends_in_the_tables_of_a_local_run(cluster, tiny_run, tmp_path):
    """One command. A job is killed for its memory, another is cancelled, the controller is killed
    and started again while jobs run, and a node is taken down.
    """
    folder, log = tmp_path / "run", tmp_path / "log"
    folder.mkdir()
    logs = folder / "results" / ".logs" / "tiny"
    run = start(
        cluster, folder, log, "tables", "--snakefile", ROOT / "Snakefile", "--configfile", TINY,
        "--config", "device=cpu", "--jobs", "2", "--set-resources", "mean:mem_mb=700 * attempt",
    )  # fmt: skip

    def at_work(rule, begun):
        """The job of a rule, once its log matches `begun`."""
        file = logs / f"{rule}.log"
        return file.exists() and re.search(begun, file.read_text()) and job_of(cluster, rule)

    def cancel(job):
        cluster.run("scancel", job[0])

    def restart_controller(_):
        cluster.kill("slurmctld")
        time.sleep(2)
        cluster.start("slurmctld")
        cluster.wait(cluster.answers, "slurmctld")

    def take_node_down(job):
        cluster.run("scontrol", "update", f"nodename={job[1]}", "state=down", "reason=test")
        requeued.append(job[0])

    samples, requeued = folder / "results" / "tiny" / "samples", []
    faults = [
        (lambda: at_work("heads", "heads tiny:"), cancel),
        (lambda: list(samples.rglob("0.npz")), restart_controller),
        (lambda: at_work("bound", "bound tiny:"), take_node_down),
    ]

    def inject():
        """Makes the faults whose time has come; whether all are made."""
        for fault in list(faults):
            ready, make = fault
            if found := ready():
                make(found)
                faults.remove(fault)
        return not faults

    try:
        wait_for(inject, run, log)
        assert run.wait(PATIENCE) == 0, log.read_text()[-4000:]
    finally:
        run.kill()
    failed = re.findall(r"Error in rule (\w+)", log.read_text())
    assert {"mean", "heads"} <= set(failed)
    assert "Restarts=1" in cluster.run("scontrol", "show", "job", *requeued)
    compare(folder, tiny_run)


def compare(folder, expected):
    """All tables, and what they are made of, are as in the folder `expected`, byte for byte.

    table1.md and table1.tex name the commit, and are left out.
    """
    kinds = ("*.csv", "metrics.json", "*.parquet", "*.npz")
    files = [path for kind in kinds for path in (expected / "results").rglob(kind)]
    names = {path.name for path in files}
    assert {"cells.csv", "paired.csv", "table1.csv", "table2.csv", "bound.parquet"} <= names
    for file in files:
        path = file.relative_to(expected)
        assert (folder / path).read_bytes() == file.read_bytes(), path
