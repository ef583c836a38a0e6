# What the rules share: the validated experiment, and the parts of it that a stage depends on.
#
# `params: config` of a rule holds just those parts, so that changing a number reruns the stages
# that use it and what comes after them. Every `bench` command reads all of it from $CONFIG, the
# config.yaml beside the experiment's tables, which is written when a run starts.
#
# Every path and every wildcard in a `shell:` line is quoted: `{log:q}`.
#
# `params: version` is that of the stage's code, and `versions` those of the variants or metrics
# that it reads (`bench/stages/__init__.py`): a raised one reruns the rule and what comes after it.
#
# What a command says goes to the terminal and to the rule's log: `2>&1 | tee -i {log:q} >&2`.
#
# `snakemake --lint` asks for a conda environment of each rule. There is none: every rule runs the
# package `bench` of the Python that runs Snakemake, whose versions pyproject.toml and
# constraints.txt declare.

import contextlib
import functools
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

from filelock import FileLock, Timeout
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from bench.runtime.errors import BenchError, unexpected, unknown

try:  # a file of bench/covariance/ or bench/scores/ may be broken
    from bench.experiment import loading, strict
except BenchError as error:
    sys.exit(f"error: {error}")

from bench import covariance, process, scores, trajectory
from bench.papers import published
from bench.report import address, plots_page, store, view
from bench.runtime import files, filesystem, paths, records
from bench.solver import SOLVER
from bench.stages import VERSIONS, joint_versions, metric_versions, row_versions, variant_versions

# params.yaml and its overlays, each by its shorter path, as an error names them
CONFIG_FILES = [
    min(file, os.path.relpath(file), key=len) for file in map(str, workflow.configfiles)
]
CONFIG_FILES.sort(key=lambda file: Path(file).name != "params.yaml")

try:
    # Snakemake has read the files itself, and takes of a key that stands twice the last value.
    for file in CONFIG_FILES:
        strict.read(file)
    changes = workflow.config_settings.overwrite_config
    if CONFIG_FILES[1:]:
        loading.check_name(changes, CONFIG_FILES[-1])
    SOURCES = " + ".join(CONFIG_FILES + ["--config"] * bool(workflow.config_settings.config))
    experiment = loading.resolve(config, SOURCES, workflow.basedir, changes)
except BenchError as error:
    sys.exit(f"error: {error}")
except Exception as error:
    command = ["bench", "plan", "--debug", "--config", CONFIG_FILES[0]]
    command += [word for file in CONFIG_FILES[1:] for word in ("--configfile", file)]
    sys.exit(f"error: {unexpected(error)}: {shlex.join(command)}")

TABLES = paths.Tables(experiment.name)
# Where a setting's files are that have a part for each row: with a filter in a folder of their own.
MEASURED = f"results/{{setting}}/{paths.FILTERED}" if experiment.only else "results/{setting}"
TABLE_LOGS = f"results/.logs/{experiment.name}-tables"


def study_files():
    """The files of studies, in order."""
    return sorted(Path(workflow.basedir, "workflows", "studies").glob("*.yaml"))


def read_studies(arguments):
    """{name: experiment} of the studies that the command line asks for, by name or all of them.

    The names of their settings begin with theirs, so that a job of Snakemake on another machine,
    which is given the setting, reads the study too.
    """
    words, found = re.findall(r"[\w-]+", " ".join(arguments)), {}
    for file in study_files():
        if file.stem == experiment.name:
            found[file.stem] = experiment
        elif "studies" in arguments or any(word.startswith(f"{file.stem}-") for word in words):
            if experiment.only:
                raise BenchError(
                    f"{SOURCES}: only: expected no filter for the study {file.stem}, as a study "
                    "compares all of its rows; leave it out"
                )
            values = workflow.config_settings.config
            found[file.stem] = loading.load_study(workflow.basedir, file, values)
    return found


try:
    STUDIES = read_studies(sys.argv[1:])
except BenchError as error:
    sys.exit(f"error: {error}")
# The experiment of every setting, which may be a study's own.
EXPERIMENTS = {name: experiment for name in experiment.settings}
for study in STUDIES.values():
    for name in study.settings:
        if EXPERIMENTS.setdefault(name, study) is not study:
            sys.exit(
                f"error: setting {name!r} is in {experiment.name} and in the study {study.name}"
            )


def refuse_tables_of_another_experiment(arguments):
    """Ends the run if an argument is a table of another experiment; the error says what to type.

    arguments: of the command line; Snakemake tells its targets only after the rules are read.
    """
    files = " + ".join(CONFIG_FILES)
    for argument in arguments:
        owner = paths.experiment_of(argument)
        is_study = Path(argument).name in ("study.csv", "study.png")
        if is_study and owner not in STUDIES:
            known = [file.stem for file in study_files()]
            sys.exit(f"error: {argument}: {unknown('study', str(owner), known)}")
        if owner in (None, experiment.name) or is_study:
            continue
        if experiment.only and f"{owner}-{paths.FILTERED}" == experiment.name:
            sys.exit(
                f"error: {argument}: a table of all rows, and {SOURCES} picks some with `only`; "
                f"expected the target tables, which is {TABLES.folder}/"
            )
        command = ["snakemake", "--cores", "all", "tables"]
        if Path(workflow.basedir) != Path.cwd():
            command += ["--snakefile", os.path.relpath(workflow.main_snakefile)]
        overlays = Path(workflow.basedir, "workflows").glob(f"*/{owner}.yaml")
        overlays = [file for file in overlays if file.parent.name in ("experiments", "studies")]
        if experiment.name != paths.DEFAULT:
            command += ["--configfile", *CONFIG_FILES[1:]]
        elif overlays:
            command += ["--configfile", os.path.relpath(overlays[0])]
        sys.exit(
            f"error: {argument}: a table of the experiment {owner!r}, but {files} describes "
            f"{experiment.name!r}; type: {shlex.join(command)}"
        )


refuse_tables_of_another_experiment(sys.argv[1:])

for folder in (Path("results"), Path(".")):
    if folder.exists() and not (folder.is_dir() and os.access(folder, os.W_OK)):
        sys.exit(
            f"error: {folder.resolve()}: expected a folder that can be written to, for the results"
        )

# With --sdm apptainer jobs run in the image of the Dockerfile, and `bench` is that of the image
# (docs/containers.md).
CONTAINED = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
if CONTAINED:

    container: "bench.sif"


# `bench` is that of the Python that runs Snakemake, whether its environment is activated or not.
# -P: a folder called bench in the working folder is not it.
BENCH = ["python" if CONTAINED else sys.executable, "-P", "-m", "bench"]


def run_options(path_of):
    """The options of this run as a line of the shell. path_of: how it writes a path."""
    options = []
    if Path(workflow.basedir) != Path.cwd():
        options += ["--snakefile", path_of(os.path.relpath(workflow.main_snakefile))]
    if CONFIG_FILES[1:]:
        options += ["--configfile", *map(path_of, CONFIG_FILES[1:])]
    if workflow.config_settings.config:
        pairs = workflow.config_settings.config.items()
        options += ["--config", *(f"{key}={json.dumps(value)}" for key, value in pairs)]
    place = workflow.storage_settings
    if place.default_storage_provider:
        options += ["--default-storage-provider", place.default_storage_provider]
        options += ["--default-storage-prefix", place.default_storage_prefix]
    return shlex.join(options)


# What errors of jobs name: the command that makes a file ends with the options of this run. And
# the name of this run, as a job does not check again the large files that another one has checked.
os.environ.setdefault(files.OPTIONS, run_options(str))
os.environ.setdefault(records.RUN, uuid.uuid4().hex)

# glibc keeps the memory that a network pass has freed for the next one. By default it gives it
# back, and the kernel clears every page of it again: a fifth of the time of a pass on a CPU.
# Blocks over 32 MB, its highest threshold, still go back.
MEMORY = "export MALLOC_TRIM_THRESHOLD_=-1 MALLOC_MMAP_THRESHOLD_=33554432"


def find_place():
    """The folder in which stages find results/: here, or where Snakemake stages a storage's files.

    With --default-storage-provider an input is fetched to there before a job, and an output is sent
    from there (docs/storage.md).
    """
    provider = workflow.storage_registry.default_storage_provider
    if provider is None:
        return Path(".")
    prefix = workflow.storage_settings.default_storage_prefix.rstrip("/")
    return Path(provider.object(f"{prefix}/{paths.RESULTS}").local_path()).parent


PLACE = find_place()
PLACE.mkdir(parents=True, exist_ok=True)

shell.prefix(
    f"set -euo pipefail; {MEMORY}; CONFIG={shlex.quote(str(TABLES.config))}; "
    f"FOLDER={shlex.quote(str(TABLES.folder))}; "
    f'bench() {{{{ (cd {shlex.quote(str(PLACE))} && exec {shlex.join(BENCH)} "$@"); }}}}; '
)


# Where several jobs could start, the greatest priority does: 10 to 8 for what most others wait
# for (mean, heads, moments and trajectories), 6 for the bound, which ends the longest chain, 5
# for what all scores wait for, 4 to 1 for samples.

# Jobs with a network ask for a GPU each: with `--resources gpu=4` four run at once, and each claims
# one (bench.runtime.devices).
GPU = int(experiment.device != "cpu")


wildcard_constraints:
    setting="|".join(EXPERIMENTS),
    study="|".join(STUDIES) or "none",
    process="|".join((*process.PROCESSES, SOLVER)),
    needs="|".join(covariance.NEEDS),
    kind="|".join(trajectory.TRAJECTORIES),
    shard=r"\d+",


def once_for(*names):
    """A decorator: jobs that agree in these wildcards share the value of a function of wildcards.

    Without it, 10⁵ jobs that differ in the shard alone compute the same value 10⁵ times.
    """

    def decorate(function):
        values = {}

        @functools.wraps(function)
        def shared(wildcards):
            key = tuple(getattr(wildcards, name) for name in names)
            if key not in values:
                values[key] = function(wildcards)
            return values[key]

        return shared

    return decorate


def parts(*names):
    """A params function: the seed and the named sections of the job's setting."""

    @once_for("setting")
    def parts_of(wildcards):
        sections = [part(wildcards, name) for name in names]
        return ", ".join([f"seed: {experiment_of(wildcards).seed}", *sections])

    return parts_of


def parts_and_cells(stage, *names, process=None):
    """The same, and the cells of a process that a filter picks. process: None is the job's."""
    sections_of = parts(*names)

    @once_for("setting", *([] if process else ["process"]))
    def parts_of(wildcards):
        sections = sections_of(wildcards)
        if experiment_of(wildcards).only is None:
            return sections
        cells = rows_of(wildcards).cells(stage, process or wildcards.process)
        return f"{sections}, {paths.FILTERED}: {json.dumps(cells)}"

    return parts_of


def part(wildcards, name):
    """A section of the job's setting as canonical JSON, without options that are not set.

    name: dotted.
    """
    value = rows_of(wildcards).model_dump(mode="json", exclude_none=True)
    for key in name.split("."):
        value = (value or {}).get(key)
    return f"{name}: {json.dumps(value, sort_keys=True)}"


def of(wildcards, name):
    """Path of a file of the job's setting."""
    return f"results/{wildcards.setting}/{name}"


def measured_of(wildcards, name):
    """Path of a file of the job's setting that has a part for each row."""
    return f"{MEASURED.format(setting=wildcards.setting)}/{name}"


def experiment_of(wildcards):
    """The experiment of a job's setting."""
    return EXPERIMENTS[wildcards.setting]


def setting_of(wildcards):
    """The setting of a job, with all of its rows."""
    return experiment_of(wildcards).settings[wildcards.setting]


@once_for("setting")
def rows_of(wildcards):
    """The setting of a job with the rows that a filter picks, by default all of them."""
    return experiment_of(wildcards).selection(wildcards.setting)


@once_for("setting")
def config_of(wildcards):
    """The config.yaml of the experiment of a job's setting."""
    return str(paths.Tables(experiment_of(wildcards).name).config)


def cell_inputs(wildcards, kinds, variants):
    """What cells of `variants` read: the mean model, trajectories, and the moments and heads that
    one needs.
    """
    inputs = [of(wildcards, "data"), of(wildcards, "mean")]
    inputs += [of(wildcards, f"trajectories/{kind}.json") for kind in kinds]
    if setting_of(wildcards).needs_moments(variants):
        inputs.append(of(wildcards, "moments"))
    if setting_of(wildcards).heads_of(variants):
        inputs.append(of(wildcards, "heads"))
    return inputs


@once_for("setting", "process", "needs")
def rows_of_job(wildcards):
    """The rows of the process that need what the samples job is for."""
    return rows_of(wildcards).variants_by_need(wildcards.process).get(wildcards.needs, [])


@once_for("setting", "process", "needs")
def kinds_of_job(wildcards):
    """Names of the trajectories of the cells of a samples job."""
    return rows_of(wildcards).kinds("samples", wildcards.process, rows_of_job(wildcards))


def inputs_of_bound(wildcards, name=process.BOUND_PROCESS):
    setting = rows_of(wildcards)
    variants = setting.variants(name)
    return cell_inputs(wildcards, setting.kinds("bound", name, variants), variants)


def inputs_of_second_order_bound(wildcards):
    return inputs_of_bound(wildcards, process.SECOND_ORDER_BOUND)


def inputs_of_variances(wildcards):
    return cell_inputs(wildcards, [], rows_of(wildcards).bound_variants)


def steps_of_variances(wildcards):
    return json.dumps(rows_of(wildcards).shown_bounds())


def inputs_of_figures(wildcards):
    """What the figures of a setting show beside its cells."""
    setting, inputs = rows_of(wildcards), []
    if experiment.wants_bound(wildcards.setting):
        names = ("terms.parquet", "variances.parquet", "variance_maps.npz")
        inputs += [measured_of(wildcards, name) for name in names]
    if experiment.sample_metrics:
        inputs.append(of(wildcards, "data"))
        for name, _ in setting.processes.items():
            of_process = SimpleNamespace(setting=wildcards.setting, process=name)
            for needs in setting.variants_by_need(name):
                inputs += manifests(of_process, needs)
    return inputs


def versions_of_second_order_bound(wildcards):
    return variant_versions(rows_of(wildcards).variants(process.SECOND_ORDER_BOUND))


@once_for("setting", "process", "needs")
def inputs_of_samples(wildcards):
    if wildcards.process == SOLVER:
        return cell_inputs(wildcards, [], [])
    return cell_inputs(wildcards, kinds_of_job(wildcards), rows_of_job(wildcards))


@once_for("setting", "process")
def options_of_process(wildcards):
    """What the samples of a process depend on beside its rows: η, or all that solvers have."""
    key = SOLVER if wildcards.process == SOLVER else f"{wildcards.process}.eta"
    return part(wildcards, f"processes.{key}")


@once_for("setting", "process", "needs")
def versions_of_job(wildcards):
    """The versions of the rows of a samples job."""
    rows = rows_of_job(wildcards)
    return row_versions(setting_of(wildcards), wildcards.process, rows)


def estimates_for_heads(wildcards):
    needed = setting_of(wildcards).heads_need_moments
    return [of(wildcards, "moments")] if needed else []


def estimates_for_trajectories(wildcards):
    """Only optimal trajectories are estimated; the others follow from N and K."""
    return [of(wildcards, "moments")] if wildcards.kind == "optimal" else []


def mean_of_another(wildcards):
    """The mean model of another setting, if the setting takes it over as its checkpoint."""
    other = experiment_of(wildcards).mean_from(wildcards.setting)
    return [f"results/{other}/mean"] if other else []


def config_of_mean(wildcards):
    """With the versions of the variants whose losses are part of the training, if there are any."""
    joint = joint_versions(setting_of(wildcards))
    return parts("schedule", "mean")(wildcards) + (f", trained with: {joint}" if joint else "")


def versions_of_costs(wildcards):
    """Versions of the variants whose costs decide the trajectories."""
    optimal = setting_of(wildcards).trajectories().get("optimal", {})
    return variant_versions(sorted(optimal)) if wildcards.kind == "optimal" else ""


def trajectories_asked(wildcards):
    asked = setting_of(wildcards).trajectories().get(wildcards.kind, {})
    return json.dumps(asked, sort_keys=True)


def sampling_priority(wildcards):
    """What takes longest by default goes first. The bound's process has more cells."""
    longest = {"moments": 3, "heads": 2, "nothing": 1}[wildcards.needs]
    return longest + (wildcards.process == process.BOUND_PROCESS)


def manifests(wildcards, needs):
    """What the samples jobs of a process write for the variants of a need, a file a shard."""
    folder = measured_of(wildcards, f"samples/{wildcards.process}")
    shards = len(setting_of(wildcards).parts("samples"))
    return [f"{folder}/{needs}-{shard}.json" for shard in range(shards)]


def inputs_of_fidelity(wildcards):
    """What scores of a process read: of a shard, the samples of its cells alone."""
    inputs = [of(wildcards, name) for name in ("data", "extractor", "reference.json")]
    setting, name = rows_of(wildcards), wildcards.process
    cells, shard = setting.cells("samples", name), getattr(wildcards, "shard", None)
    if shard is not None:
        cuts = dict(enumerate(setting.parts("fidelity", name)))
        first, last = cuts.get(int(shard), (0, 0))  # its job refuses a shard that there is not
        cells = cells[first:last]
    needed = {setting.row(name, variant).needs for variant, *_ in cells}
    for needs in setting.variants_by_need(name):
        if needs in needed:
            inputs += manifests(wildcards, needs)
    return inputs


def parts_of(wildcards, stage):
    """The number of shards that a stage of the job's setting is cut into, 1 if it is not."""
    setting = rows_of(wildcards)
    if stage == "reference":  # known when the data are read; some have nothing to do
        return setting.shards
    process = wildcards.process if stage == "fidelity" else None
    return len(setting.parts(stage, process))


def number_of_shards(wildcards):
    return setting_of(wildcards).shards


def shards_of(stage):
    """An input function: what the shards of a stage leave, if there is more than one.

    One shard is the stage itself, with no job between.
    """

    def shards(wildcards):
        count, place = parts_of(wildcards, stage), experiment_of(wildcards).place(wildcards.setting)
        process = wildcards.process if stage == "fidelity" else None
        numbers = range(count if count > 1 else 0)
        return [str(place.shard(stage, number, process)) for number in numbers]

    return shards


def gpu_of(stage):
    """A resources function: no GPU for a job that puts shards together."""
    return lambda wildcards: GPU * (parts_of(wildcards, stage) <= 1)


def measured(name):
    """The files that the metrics of a setting come from."""
    owner, files, folder = EXPERIMENTS[name], [], MEASURED.format(setting=name)
    setting = owner.selection(name)
    if owner.wants_bound(name):
        files += [f"{folder}/bound.parquet", f"{folder}/calibration.parquet"]
    if owner.wants_bound(name, process.SECOND_ORDER_BOUND):
        files.append(f"{folder}/bound_2m.parquet")
    if owner.sample_metrics:
        files += [f"{folder}/fidelity/{process}.json" for process, _ in setting.processes.items()]
    return files


def logged(name):
    """What `bench log` reads of a setting beside its tables and figures."""
    inputs = [f"results/{name}/data", f"results/{name}/mean"]
    if experiment.sample_metrics:
        inputs += [f"results/{name}/extractor", *measured(name)]
        for process, _ in experiment.selection(name).processes.items():
            of_process = SimpleNamespace(setting=name, process=process)
            for needs in experiment.selection(name).variants_by_need(process):
                inputs += manifests(of_process, needs)
    return inputs


def published_files():
    """The files of published numbers. They are part of the package, and in no storage."""
    return [local(file) for file in published.paths()]


def start():
    """Writes config.yaml and makes the MLflow store; ends if another run is here, or if the file
    system does not do what results need.

    Snakemake's lock outlives a killed run, so profiles/default turns it off. The kernel releases
    this one when its process ends, however it ends.
    """
    global RUNNING  # a lock is held as long as there is the object
    try:
        for fault in filesystem.check(PLACE / paths.RESULTS):
            print(f"warning: {fault}", file=sys.stderr)
    except BenchError as error:
        sys.exit(f"error: {error}")
    RUNNING = FileLock(".snakemake/run.lock")
    try:
        RUNNING.acquire(blocking=False)
    except Timeout:
        sys.exit(
            f"error: {Path.cwd()}: another snakemake is running in this folder; "
            "wait for it to finish, or stop it first"
        )
    try:
        for each in {experiment.name: experiment, **STUDIES}.values():
            loading.write(each, PLACE / paths.Tables(each.name).config)
            files.write_text(PLACE / paths.Tables(each.name).options, run_options(os.path.abspath))
        prepare_store()
        if Path(".dvc").is_dir() and not plots_page.PLACE.exists():
            plots_page.write()
    except BenchError as error:
        sys.exit(f"error: {error}")


def prepare_store():
    """Makes the MLflow store; ends if MLFLOW_TRACKING_URI names none that can be used.

    That takes seconds. So the default one is made while the data are read, and a job that logs
    meanwhile waits for it. This is not a rule: the rules that log would take its output as ancient,
    and Snakemake (9.27) then forgets every other reason that they have to run.
    """
    with contextlib.chdir(PLACE):
        store.check()
        if store.prepared(experiment):
            return
        if not address.is_default():
            store.prepare(experiment)
            return
    command = [sys.executable, "-P", "-m", "bench", "store", "--config", TABLES.config]
    # no line among those of the jobs; errors are shown
    options = {"stdout": subprocess.DEVNULL, "cwd": PLACE}
    threading.Thread(target=subprocess.run, args=(command,), kwargs=options).start()


def made_from(name):
    """[(output, its inputs), …] of the stages of a setting after the mean, in order."""
    wildcards = SimpleNamespace(setting=name, kind="optimal")
    model = [of(wildcards, "data"), of(wildcards, "mean")]
    made = [
        (of(wildcards, "moments"), model),
        (of(wildcards, "heads"), model + estimates_for_heads(wildcards)),
        (of(wildcards, "trajectories/optimal.json"), estimates_for_trajectories(wildcards)),
        (measured_of(wildcards, "bound.parquet"), inputs_of_bound(wildcards)),
        (measured_of(wildcards, "bound_2m.parquet"), inputs_of_second_order_bound(wildcards)),
        (measured_of(wildcards, "variances.parquet"), inputs_of_variances(wildcards)),
        (of(wildcards, "reference.json"), [of(wildcards, "data"), of(wildcards, "extractor")]),
    ]
    setting = rows_of(wildcards)
    for name_of_process, _ in setting.processes.items():
        wildcards.process = name_of_process
        for needs in setting.variants_by_need(name_of_process):
            wildcards.needs = needs
            inputs = inputs_of_samples(wildcards)
            made += [(manifest, inputs) for manifest in manifests(wildcards, needs)]
        scores = measured_of(wildcards, f"fidelity/{name_of_process}.json")
        made.append((scores, inputs_of_fidelity(wildcards)))
    return made


def forget_what_failed():
    """Deletes what was made of files that are missing.

    Snakemake has deleted the outputs of the jobs that failed. The next run would find its target in
    place, not miss what is between, and end well with the old numbers.
    """
    made = [pair for name in EXPERIMENTS for pair in made_from(name)]
    measurements = [file for name in experiment.selected for file in measured(name)]
    made.append((str(TABLES.cells), measurements))
    drawn = []
    for name in experiment.selected:
        drawn.append(str(TABLES.figure(name, experiment.figures[0])))
        made.append((drawn[-1], inputs_of_figures(SimpleNamespace(setting=name))))
    made.append((str(TABLES.table1), [str(TABLES.cells), *drawn]))
    for name, study in STUDIES.items():
        measurements = [file for setting in study.settings for file in measured(setting)]
        made.append((str(paths.Tables(name).study), measurements))
    for output, inputs in made:
        if not all(Path(file).exists() for file in inputs):
            files.remove(output)


def repeat_errors(started):
    """Prints the errors of jobs once more: they stand far above, before the output of other jobs.

    started: when the run began. A job whose log is older is not of this run.
    """
    for log in sorted((PLACE / "results/.logs").rglob("*.log")):
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
        if log.stat().st_mtime < started:
            continue
        if last and re.match(r"bench \w+: (unexpected )?error: ", last[0]):
            print(f"\n{log} ends with:\n{last[0]}", file=sys.stderr)
        elif not (last and re.match(r"bench \w+: wrote ", last[0])):
            print(f"\n{log} ends without an error: its job was stopped or killed", file=sys.stderr)


def announce(started):
    """Says where the tables are, and shows the first block of table1, if this run made it."""
    table = TABLES.table1_report
    if table.exists() and table.stat().st_mtime >= started:
        sys.stdout.reconfigure(errors="replace")  # a terminal may have no ±
        first_block = table.read_text(encoding="utf-8").split("\n\n")[:4]
        print(*first_block, "", sep="\n\n")
        print(f"The tables: {table} (all of it), {TABLES.table1}.", end=" ")
        pages = files.read_json(TABLES.tracking)["pages"]
        print(f"To see all runs so far: {view.how_to_open(next(iter(pages.values())))}")
