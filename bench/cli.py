"""The `bench` command: one subcommand a stage. What Snakemake runs is what a person can run by hand."""

import argparse
import importlib
import os
import sys
from pathlib import Path

from bench.runtime import memory
from bench.runtime.errors import BenchError

EPILOG = """\
The whole pipeline, in order, is run by:   snakemake --cores all results/table1.csv
One stage by hand:                         bench moments --setting digits
Every stage reads what earlier ones wrote under results/<setting>/ in the current folder.
"""

# name → (help, the options it takes); the texts are what `bench --help` and `bench NAME --help` show
STAGES = {
    "config": (
        "validate a configuration and write it resolved, with every setting's file read in",
        ["output"],
    ),
    "plan": (
        "what an experiment takes, before anything runs: network passes, samples, disk and time, "
        "by stage",
        ["configfile", "images-per-second", "device"],
    ),
    "store": (
        "create the MLflow store and the settings' experiments, before parallel jobs write to it",
        [],
    ),
    "data": ("read a setting's data set and split it: results/SETTING/data/", ["setting"]),
    "data fetch": (
        "download the files of a data set, or say where to get them",
        ["name", "from", "into"],
    ),
    "mean": ("train or import the mean model: results/SETTING/mean/", ["setting", "threads"]),
    "mean import": (
        "make a folder for mean.checkpoint of a file that others published: the network, its timesteps and heads",
        ["file", "format", "into", "option"],
    ),
    "extractor": (
        "prepare the feature extractor of the scores: results/SETTING/extractor/",
        ["setting", "threads"],
    ),
    "moments": (
        "estimate the moments of the mean model at every step: results/SETTING/moments/",
        ["setting", "threads"],
    ),
    "heads": (
        "train all heads in one pass of the frozen trunk: results/SETTING/heads/",
        ["setting", "threads"],
    ),
    "trajectories": (
        "choose the steps of every trajectory and K: results/SETTING/trajectories/",
        ["setting", "kind"],
    ),
    "bound": (
        "bits/dim of every (variant, trajectory, K): results/SETTING/bound.parquet",
        ["setting", "threads"],
    ),
    "samples": (
        "sample every cell of one process that is not there yet: results/SETTING/samples/PROCESS/",
        ["setting", "process", "needs", "shard", "threads"],
    ),
    "reference": (
        "features of the training and of held-out images, for the scores: results/SETTING/reference.json",
        ["setting", "threads"],
    ),
    "fidelity": (
        "score the samples of one process: results/SETTING/fidelity/PROCESS.json",
        ["setting", "process", "threads"],
    ),
    "cells": (
        "gather what was measured, with published numbers beside it: results/cells.csv, results/paired.csv, and "
        "whether the published numbers hold: results/reproduction.md, results/reproduction.csv",
        [],
    ),
    "tables": ("table1.csv, table1.md, table2.csv and metrics.json from results/cells.csv", []),
    "thresholds": (
        "thresholds and bounds of σ_2² from the schedules alone: results/table3.csv",
        [],
    ),
    "theory": (
        "the papers' claims, checked on a Gaussian mixture where the answer is known: results/theory.csv",
        ["threads"],
    ),
    "figures": ("a metric against K: results/SETTING/figures/METRIC.png", ["setting"]),
    "benchmark": (
        "measure how near the harness comes to the networks' own time: results/benchmark.md",
        [],
    ),
    "track": (
        "log cells, sample grids, tables and figures to MLflow (MLFLOW_TRACKING_URI, default sqlite:///mlflow.db)",
        [],
    ),
}

WITHOUT_CONFIG = (
    "thresholds",
    "benchmark",
    "data fetch",
    "mean import",
)  # stages that read no experiment

OPTIONS = {
    "setting": dict(
        required=True, metavar="NAME", help="a setting of the configuration, such as digits"
    ),
    "process": dict(required=True, metavar="NAME", help="ddpm or ddim"),
    "needs": dict(
        default=None,
        metavar="WHAT",
        help="nothing, moments or heads: sample only the variants that need just that (default: all)",
    ),
    "kind": dict(
        default=None,
        metavar="NAME",
        help="even, even_ddim, quadratic_ddim or optimal (default: all of the grid)",
    ),
    "shard": dict(
        type=int,
        default=0,
        metavar="I",
        help="which of the samples.shards parts, counted from 0 (default: 0)",
    ),
    "threads": dict(
        type=int,
        default=os.cpu_count(),
        metavar="N",
        help="CPU threads (default: all, %(default)s here)",
    ),
    "name": dict(metavar="NAME", help="the data set, one of those below"),
    "from": dict(
        default=None,
        metavar="SOURCE",
        help="official, npm or debian, where the data set has it (default: official)",
    ),
    "into": dict(
        default=None,
        metavar="FOLDER",
        help="where to (default: datasets/NAME); it is resumed where it was cut off",
    ),
    "file": dict(metavar="FILE", help="a .pt, .pth or .ckpt file with a state dict"),
    "format": dict(required=True, metavar="NAME", help="improved_diffusion or pytorch_diffusion"),
    ("mean import", "into"): dict(
        default=None, metavar="FOLDER", help="where to (default: FILE without its ending)"
    ),
    "option": dict(
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of mean.published: first_timestep=1, attention_heads=4, md5=DIGITS, heads.npr=FILE, "
        "heads.sn=FILE; may be given several times",
    ),
    "configfile": dict(
        nargs="+",
        default=[],
        metavar="FILE",
        help="overlays, merged into the experiment as Snakemake does",
    ),
    "images-per-second": dict(
        action="append",
        default=[],
        metavar="[NAME=]N",
        help="speed of all mean networks, or of the network NAME, on the machine to plan for; "
        "may be given several times (default: measure this machine)",
    ),
    "device": dict(
        default=None,
        metavar="NAME",
        help="plan for a measured machine of bench/plan/devices.yaml, such as amd-epyc; to add one, "
        "run bench plan on it and copy the last lines that it prints into that file",
    ),
    "output": dict(
        default=None, metavar="FILE", help="where to write the resolved YAML (default: print it)"
    ),
}


class Parser(argparse.ArgumentParser):
    """Tells a mistake on the command line in one line, as any other."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def format_help(self):
        if self.prog.endswith(
            " data fetch"
        ):  # known to the readers, which are imported for no other help
            from bench.data import sources

            self.epilog, self.formatter_class = (
                f"data sets:\n{sources.listed()}",
                argparse.RawDescriptionHelpFormatter,
            )
        return super().format_help()


def parser():
    """The command line: a subparser for each of `STAGES`."""
    root = Parser(
        prog="bench",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Reference benchmark of reverse-process variances for diffusion models.",
    )
    stages = root.add_subparsers(dest="stage", metavar="STAGE", required=True)
    for name, (text, options) in STAGES.items():
        stage = stages.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name not in WITHOUT_CONFIG:
            stage.add_argument(
                "--config",
                default="params.yaml",
                metavar="FILE",
                help="the experiment: params.yaml, or a resolved results/config.yaml (default: %(default)s)",
            )
        stage.add_argument("--debug", action="store_true", help="show the traceback of an error")
        for option in options:
            stage.add_argument(
                option if option in ("name", "file") else f"--{option}",
                **OPTIONS.get((name, option), OPTIONS[option]),
            )
    return root


def main(arguments=None):
    """Runs a stage. Exit code 0, or 1 after one line on stderr that says what is wrong."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if " ".join(arguments[:2]) in STAGES:
        arguments[:2] = [" ".join(arguments[:2])]
    options = parser().parse_args(arguments)
    try:
        run(options)
    except BenchError as error:
        if options.debug:
            raise
        sys.exit(f"bench {options.stage}: error: {error}")
    except KeyboardInterrupt:
        sys.exit(f"bench {options.stage}: interrupted")


def run(options):
    """Calls the stage that was asked for; what a stage needs is imported here, so that `--help` is quick."""
    memory.keep()
    if options.stage == "thresholds":
        from bench.stages import reporting

        return reporting.write_thresholds()
    if options.stage == "benchmark":
        from bench.benchmark import report

        return report.benchmark()
    if options.stage == "data fetch":
        from bench.data import sources

        folder = options.into or f"datasets/{options.name}"
        sources.fetch(options.name, folder, vars(options)["from"])
        return print(f"data.path: {folder}")
    if options.stage == "mean import":
        return _import_mean(options)
    from bench.experiment import loading

    experiment = loading.load(options.config, getattr(options, "configfile", ()))
    if options.stage == "config":
        return loading.write(experiment, options.output)
    if options.stage == "plan":
        from bench import plan

        return print(plan.report(experiment, options.images_per_second, options.device))
    if "threads" in options:
        _set_threads(options.threads)
    from bench.runtime import stopwatch

    with stopwatch.fresh() as account:
        _stage(options, experiment)
    if (
        account.first is not None and "setting" in options
    ):  # theory trains heads, and is of no setting
        which = {
            key: vars(options)[key]
            for key in ("process", "needs", "shard")
            if vars(options).get(key) is not None
        }
        stopwatch.write(account, options.stage, options.setting, options.threads, **which)


FUNCTIONS = {
    "store": "store.prepare",
    "data": "preparation.prepare_data",
    "mean": "preparation.train_mean",
    "extractor": "preparation.prepare_extractor",
    "heads": "preparation.train_heads",
    "moments": "estimation.estimate_moments",
    "trajectories": "trajectories.choose_trajectories",
    "bound": "evaluation.evaluate_bound",
    "samples": "sampling.draw_samples",
    "reference": "scoring.extract_reference",
    "fidelity": "scoring.score_samples",
    "cells": "reporting.gather_cells",
    "tables": "reporting.write_tables",
    "figures": "reporting.draw_figures",
    "track": "reporting.log_runs",
    "theory": "reporting.check_theory",
}


def _stage(options, experiment):
    """Calls the function of a stage, with what its command line says."""
    module, function = FUNCTIONS[options.stage].split(".")
    package = "report" if module == "store" else "stages"
    call = getattr(importlib.import_module(f"bench.{package}.{module}"), function)
    given = {
        "setting": "name",
        "process": "process_name",
        "shard": "shard",
        "needs": "needs",
        "kind": "kind",
    }
    call(experiment, **{given[key]: value for key, value in vars(options).items() if key in given})


def _import_mean(options):
    """Reads a published file as the mean stage does, and writes it as the mean stage would."""
    from bench.experiment import loading
    from bench.mean import published, storage

    section = loading.published(
        {
            "format": options.format,
            "path": options.file,
            **loading.assignments(options.option, "--option"),
        }
    )
    folder = Path(options.into or Path(options.file).with_suffix(""))
    if folder.exists():
        raise BenchError(f"--into: {folder}: is there already; expected a new folder")
    storage.save(folder=folder, **published.read(section))
    print(f"mean.checkpoint: {folder}")


def _set_threads(threads):
    if threads < 1:
        raise BenchError(f"--threads: expected at least 1, found {threads}")
    import threadpoolctl
    import torch

    torch.set_num_threads(threads)
    threadpoolctl.threadpool_limits(
        threads
    )  # of the linear algebra in numpy and scipy, which would take all there are
