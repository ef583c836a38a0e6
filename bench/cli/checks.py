"""`bench check`: is a part right, before somebody relies on it?"""

from typing import Any

import click

from bench.cli import options
from bench.runtime.errors import BenchError


@click.group(epilog="Example: bench check variant npr")
def check() -> None:
    """Check a variant or a scheduler before you rely on it."""


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


check.add_command(variant)
check.add_command(scheduler)
