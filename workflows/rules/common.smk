# What the rules share: the validated experiment, and the parts of it that a stage depends on.
#
# A rule's `params: config` holds just those parts, so that changing a number reruns the stages that use it and
# what comes after them. Every `bench` command reads all of it from results/config.yaml, written when a run starts.

import fcntl
import json
import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, workflow.basedir)

from bench.experiment import loading
from bench import covariance, process, trajectory
from bench.report import tracking
from bench.runtime.errors import BenchError

# `bench` is found beside the Python that runs Snakemake, whether its environment is activated or not.
shell.prefix(f"set -euo pipefail; export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; ")

RESOLVED = "results/config.yaml"

# params.yaml and its overlays, as an error names them
CONFIG_FILES = " + ".join(sorted({min(file, os.path.relpath(file), key=len) for file in map(str, workflow.configfiles)},
                                 key=lambda file: Path(file).name != "params.yaml"))

try:
    experiment = loading.resolve(config, CONFIG_FILES)
except BenchError as error:
    sys.exit(f"error: {error}")

for folder in (Path("results"), Path(".")):
    if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK)):
        sys.exit(f"error: {folder.resolve()}: expected a folder that can be written to, for the results")


# Where several jobs could start, the greatest priority does: 10 to 8 for what most others wait for (mean, heads, moments and
# trajectories), 6 for the bound, which ends the longest chain, 5 for what all scores wait for, 4 to 2 for samples.

# Jobs with a network ask for a GPU each: with `--resources gpu=4` four run at once, and each claims one (bench.device).
GPU = int(experiment.device != "cpu")

wildcard_constraints:
    setting="|".join(experiment.settings),
    process="ddpm|ddim",
    needs="|".join(covariance.NEEDS),
    kind="|".join(trajectory.TRAJECTORIES),
    shard=r"\d+",


def parts(*names):
    """A params function: the seed and the named sections of the job's setting."""
    return lambda wildcards: ", ".join([f"seed: {experiment.seed}", *(part(wildcards, name) for name in names)])


def part(wildcards, name):
    """A section of the job's setting by its dotted name, as canonical JSON; an option that is not set changes nothing."""
    value = experiment.settings[wildcards.setting].model_dump(mode="json", exclude_none=True)
    for key in name.split("."):
        value = (value or {}).get(key)
    return f"{name}: {json.dumps(value, sort_keys=True)}"


def of(wildcards, name):
    """Path of a file of the job's setting."""
    return f"results/{wildcards.setting}/{name}"


def setting_of(wildcards):
    """The setting of a job."""
    return experiment.settings[wildcards.setting]


def cell_inputs(wildcards, kinds, variants):
    """What cells read: their trajectories, and the moments and the heads where one of `variants` needs them."""
    inputs = [of(wildcards, f"trajectories/{kind}.json") for kind in kinds]
    if setting_of(wildcards).needs_moments(variants):
        inputs.append(of(wildcards, "moments.npz"))
    if setting_of(wildcards).heads_of(variants):
        inputs.append(of(wildcards, "heads"))
    return inputs


def variant_code(variants):
    """Digests of the code of variants: a changed formula changes the numbers."""
    return " ".join(f"{name}:{covariance.code(name)}" for name in variants)


def start():
    """Writes results/config.yaml and begins to prepare the MLflow store, unless another run in this folder is at work.

    Snakemake's lock covers the files of a run only; the configuration is every run's. The kernel releases this one
    when its process ends, however it ends.
    """
    global RUNNING
    RUNNING = open(".snakemake/run.lock", "w")
    try:
        fcntl.flock(RUNNING, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"error: {Path.cwd()}: another snakemake is running in this folder; wait for it to finish, or stop it first")
    try:
        loading.write(experiment, RESOLVED)
        prepare_store()
    except BenchError as error:
        sys.exit(f"error: {error}")


def prepare_store():
    """Begins to make the MLflow store, which takes seconds, while the data are read; a job that logs meanwhile waits for it.

    Not a rule whose output others take as ancient: where such a rule has to run, Snakemake (9.27) forgets every other
    reason that those who take it have to run.
    """
    if not tracking.prepared(experiment):
        tracking.check()
        command = [Path(sys.executable).with_name("bench"), "store", "--config", RESOLVED]
        threading.Thread(target=subprocess.run, args=(command,)).start()


def announce(started):
    """Says where the table is, and shows its head, if this run made it."""
    table = Path("results/table1.md")
    if table.exists() and table.stat().st_mtime >= started:
        print(*table.read_text().splitlines()[:18], "", sep="\n")
        print(f"The tables: {table} (all of it), results/table1.csv. Every run: mlflow ui --host 127.0.0.1")
