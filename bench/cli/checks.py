"""`bench check`: is a part right, before somebody relies on it?"""

from pathlib import Path
from typing import Any

import click

from bench.cli import options
from bench.runtime.errors import BenchError, problem


@click.group(epilog="Example: bench check variant npr")
def check() -> None:
    """Check a variant, a scheduler or a data set, before you rely on it."""


@options.command("bench check variant npr")
@click.argument("name")
def variant(name: str) -> None:
    """Check a variant on a mixture with a known answer.

    NAME is a variant, as in params.yaml. A table shows every claim with its verdict. The exit
    code is 1 if one of them is false.
    """
    from bench.theory import contract

    show(name, contract.check(name), ".4g")


@options.command("bench check scheduler DDPMScheduler --steps 10")
@click.argument("name", metavar="CLASS_OR_FOLDER")
@click.option(
    "--option",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    help="An argument of the constructor: timestep_spacing=trailing. May be given several times.",
)
@click.option(
    "--steps", metavar="K", type=click.IntRange(min=1), default=10, help="The number of steps."
)
def scheduler(name: str, assignments: tuple[str, ...], steps: int) -> None:
    """Check a scheduler of diffusers against the process that it claims to be.

    CLASS_OR_FOLDER is a class of diffusers, a class of your own as package.module:Class, or a
    folder with scheduler_config.json, such as a pipeline. A table shows the timesteps, the
    coefficients and the variance of the steps, and the moments of samples of a mixture. The exit
    code is 1 if one of them is not that of the process.
    """
    from bench.experiment import loading
    from bench.theory import scheduler_claims, schedulers

    made = scheduler_claims.load(name, loading.assignments(assignments, "--option"))
    claims = scheduler_claims.claims_of(made)
    click.echo(scheduler_claims.heading(made, claims, steps) + "\n")
    show(name, schedulers.check(made, claims, steps), ".6g")


def show(name: str, rows: list[dict[str, Any]], floatfmt: str) -> None:
    """Prints rows as a table. BenchError that names the first of which the verdict is false."""
    import pandas

    table = pandas.DataFrame(rows)
    click.echo(table.to_markdown(index=False, floatfmt=floatfmt))
    failed = table[table["verdict"].isin([False])]
    if len(failed):
        raise BenchError(
            f"{name}: {len(failed)} of {len(table)} claims do not hold; the first is: "
            f"{failed['claim'].iloc[0]}"
        )


@options.command("bench check data celeba64 --path datasets/celeba64")
@click.argument("name")
@click.option(
    "--path",
    metavar="PATH",
    show_default="data.path of the setting, or datasets/NAME",
    help="Where the files are.",
)
@options.config
@options.configfile
def data(name: str, path: str | None, config: str, configfile: tuple[str, ...]) -> None:
    """Compare files of images with what is known of the data set.

    NAME is a setting, or a reader of bench/data/readers/. Its images are read as a run reads them.
    A table shows counts, shape, levels, means, standard deviations and hashes. What is not known
    is not judged. The exit code is 1 if a number differs.
    """
    import pandas

    from bench.data import known

    rows = pandas.DataFrame(known.compare(*_data_of(name, path, config, configfile)))
    click.echo(rows.to_markdown(index=False, disable_numparse=True))
    differing = rows[rows["verdict"] == "differs"]
    if len(differing):
        first = differing.iloc[0]
        raise BenchError(
            f"{name}: {len(differing)} of {len(rows)} numbers differ; the first is "
            f"{first.quantity}: found {first.measured}, expected {first.known}; the usual cause: "
            f"{known.cause(first.quantity)}"
        )


def _data_of(name, path, config, configfile):
    """(reader, its options) of a setting, or of a reader that no setting is called after."""
    from bench.data import dataset
    from bench.experiment import loading, setting_files

    own = Path(config).parent / setting_files.FOLDER / f"{name}.yaml"
    if name in dataset.READERS and not own.exists():
        reader, given = name, {"path": f"datasets/{name}"}
    else:
        experiment, setting, _ = loading.load_with(config, configfile, name)
        section = experiment.setting(setting).data
        reader, given = section.name, dict(section.options)
    if path is not None:
        given["path"] = path
    try:
        dataset.options(reader).model_validate(given)
    except ValueError as error:  # a pydantic.ValidationError
        raise BenchError(f"data set {reader}: {problem(error)}") from error
    return reader, given


check.add_command(variant)
check.add_command(scheduler)
check.add_command(data)
