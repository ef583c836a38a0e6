"""The options that commands share, and the decorators that make commands of functions."""

import functools
import math
import os
import pkgutil
import shlex
import sys
from collections.abc import Callable
from typing import Any

import click

from bench.runtime.errors import BenchError, unexpected

STACK = 8 << 20  # bytes of a thread's stack

config = click.option(
    "--config",
    metavar="FILE",
    default="params.yaml",
    help="The experiment: params.yaml, or a resolved results/config.yaml.",
)
configfile = click.option(
    "--configfile",
    metavar="FILE",
    multiple=True,
    help="An overlay of the experiment, as Snakemake's. May be given several times.",
)
setting = click.option(
    "--setting",
    "name",
    metavar="NAME",
    required=True,
    help="A setting of the experiment, such as digits.",
)
process = click.option(
    "--process",
    "process_name",
    metavar="NAME",
    required=True,
    help="The process: ddpm, ddim, ddpm_2m, ddim_2m or solver.",
)
images_per_second = click.option(
    "--images-per-second",
    metavar="[NAME=]N",
    multiple=True,
    help="The speed of a network on another machine: N for every mean model, or NAME=N for one. "
    "NAME is a setting, inception, or SETTING/classifier. May be given several times.",
)
device = click.option(
    "--device",
    metavar="NAME",
    help="A machine of bench/plan/devices.yaml whose speed was measured. A plan that measures "
    "ends with the lines that add this machine to it.",
)
shard = click.option(
    "--shard",
    metavar="I",
    type=int,
    help="Only this part of the work, counted from 0, if the key `shards` of the configuration is "
    "above 1. Without this option the command puts together what all parts left (samples: draws "
    "all parts).",
)
threads = click.option(
    "--threads",
    metavar="N",
    type=click.IntRange(min=1),
    default=os.cpu_count(),
    envvar="BENCH_THREADS",
    show_envvar=True,
    help="CPU threads. The default is all cores.",
)


def _number(context, option, value):
    """The value of an option. BenchError for nan, which click takes for a number in any range."""
    if math.isnan(value):
        raise BenchError(f"{option.opts[0]}: expected a number from 0, found nan")
    return value


def errors(help_text: str) -> Callable:
    """The option --errors: by how many joint errors two values may differ."""
    return click.option(
        "--errors",
        metavar="N",
        type=click.FloatRange(min=0),
        default=3.0,
        callback=_number,
        help=help_text,
    )


def command(example: str, name: str | None = None, **settings: Any) -> Callable:
    """A decorator that makes a function a command with the option --debug.

    The command prints an error as one line, unless --debug is given. On Ctrl-C it prints no
    traceback.

    Parameters
    ----------
    example
        A command line that works. The help ends with it.
    name
        Of the command. By default the function's.
    settings
        Further arguments of `click.command`.
    """

    def decorate(function: Callable) -> click.Command:
        @click.command(name, epilog=f"Example: {example}", **settings)
        @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
        @click.pass_context
        @functools.wraps(function)
        def run(context: click.Context, debug: bool, **options: Any) -> None:
            from bench.runtime import records

            try:
                with records.job(shlex.join(["bench", *(context.obj or [])])):
                    function(**options)
                sys.stdout.flush()  # inside click, which ends quietly if nobody reads the output
            except BenchError as error:
                if debug:
                    raise
                sys.exit(f"{context.command_path}: error: {_one_line(str(error))}")
            except KeyboardInterrupt:
                sys.exit(f"{context.command_path}: interrupted")
            except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
                raise  # click's own
            except Exception as error:
                if debug:
                    raise
                sys.exit(f"{context.command_path}: {unexpected(error)}")

        return run

    return decorate


def _one_line(message):
    """A message that may name a path with line breaks or of thousands of letters."""
    message = " ".join(message.splitlines())
    return message if len(message) < 800 else f"{message[:400]}...{message[-200:]}"


def stage(example: str, target: str, text: str, *options: Callable) -> click.Command:
    """A command that reads the experiment and calls one function with it.

    It ends with a line that says what was written. If a job of one setting used a network, its
    duration, memory and passes are written to results/.jobs.

    Parameters
    ----------
    example
        A command line that works: `bench NAME ...`. It gives the command its name.
    target
        The function, as module:function. It is imported when the command runs. It takes the
        `bench.experiment.resolved.Experiment` and the values of the options by their names.
    text
        What the help says.
    options
        The command's options, beside --config and --debug.
    """
    name = example.split()[1]

    def run(config: str, threads: int | None = None, **values: Any) -> None:
        from bench.experiment import loading

        experiment = loading.load(config)
        if threads is not None:
            set_threads(threads)
        from bench.runtime import files, stopwatch

        with files.options_beside(config), stopwatch.fresh() as account:
            pkgutil.resolve_name(target)(experiment, **values)
            say_written(name)
        if account.first is not None and "name" in values:
            which = {"process": values.get("process_name")}
            which |= {key: values.get(key) for key in ("needs", "shard")}
            which = {key: value for key, value in which.items() if value is not None}
            stopwatch.write(account, name, values["name"], threads, **which)

    for option in reversed([config, *options]):
        run = option(run)
    return command(example, name, help=text)(run)


def say_written(name: str) -> None:
    """Prints what the command `bench NAME` has written."""
    from bench.runtime import records

    written = records.outputs()
    if len(written) == 1:
        click.echo(f"bench {name}: wrote {written[0]}")
    elif written:
        folder = os.path.commonpath(written)
        inside = ", ".join(os.path.relpath(path, folder) for path in written)
        click.echo(f"bench {name}: wrote in {folder}: {inside}")


def set_threads(threads: int) -> None:
    """Limits torch, and the linear algebra of numpy and scipy, to a number of threads.

    BenchError for a number whose stacks do not fit into memory.
    """
    import threadpoolctl
    import torch

    from bench.runtime import memory

    memory.check("--threads", threads, threads * STACK, "the stacks of the threads")
    torch.set_num_threads(threads)
    threadpoolctl.threadpool_limits(threads)
