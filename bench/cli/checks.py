"""`bench check`: is a part right, before somebody relies on it?"""

import click

from bench.cli import options
from bench.runtime.errors import BenchError


@click.group(epilog="Example: bench check variant npr")
def check() -> None:
    """Check a part that you wrote, before you rely on it: `bench check variant NAME`."""


@options.command("bench check variant npr")
@click.argument("name")
def variant(name: str) -> None:
    """Check a variant on a mixture with a known answer.

    NAME is a variant, as in params.yaml. A table shows every claim with its verdict. The exit
    code is 1 if one of them is false.
    """
    import pandas

    from bench.theory import contract

    rows = pandas.DataFrame(contract.check(name))
    click.echo(rows.to_markdown(index=False, floatfmt=".4g"))
    failed = rows[~rows["verdict"].astype(bool)]
    if len(failed):
        raise BenchError(
            f"{name}: {len(failed)} of {len(rows)} claims do not hold; the first is: "
            f"{failed['claim'].iloc[0]}"
        )


check.add_command(variant)
