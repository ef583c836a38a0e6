"""The `bench` command, for people and for the workflow's rules.

`bench.cli.commands`, `bench.cli.authoring` and `bench.cli.checks` have the commands that people
use, `bench.cli.stages` those of the rules. A command imports its modules when it runs, so
`bench --help` loads click and nothing else. `SECTIONS` is the order of the help.
"""

import sys
from collections.abc import Sequence

import click

from bench.cli import authoring, checks, commands, stages

SECTIONS = {
    "Commands": (
        commands.plan,
        commands.config,
        commands.status,
        commands.fetch,
        commands.import_mean,
        commands.profile,
        commands.export,
        commands.compare,
        commands.merge,
        commands.fid,
        commands.log,
        commands.plots_page,
        authoring.new,
        checks.check,
        commands.benchmark,
    ),
    "Stages, which the workflow runs": stages.STAGES,
    "Housekeeping": stages.HOUSEKEEPING,
}


class Root(click.Group):
    """The group of all commands, whose help lists them by `SECTIONS`."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, members in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(member.name, member.get_short_help_str(limit=200)) for member in members]
                )


@click.group(
    cls=Root,
    commands=[member for members in SECTIONS.values() for member in members],
    context_settings={"max_content_width": 100, "show_default": True},
)
def root() -> None:
    """Reference benchmark of reverse-process variances for diffusion models.

    \b
    The whole pipeline:   snakemake --cores all results/table1.csv
    One stage by hand:    bench moments --setting digits

    A stage reads what earlier stages wrote to results/SETTING/ in the current folder.
    `bench COMMAND --help` explains a command and gives an example.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one command.

    Parameters
    ----------
    arguments
        The words after `bench`. By default those of the command line.

    Raises
    ------
    SystemExit
        With exit code 1 and a message of one line if the command fails. With 2 if the command line
        is wrong. With 1 if the reader of the output stops reading.
    """
    if any("\udc80" <= letter <= "\udcff" for letter in sys.prefix):  # torch could not be imported
        raise SystemExit(
            "bench: error: the path of Python has letters that the locale cannot express; set "
            "PYTHONUTF8=1"
        )
    try:
        words = sys.argv[1:] if arguments is None else list(arguments)
        root.main(words, prog_name="bench", standalone_mode=False, obj=words)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "bench"
        problem = " ".join(error.format_message().split()).removesuffix(".")
        problem = problem[0].lower() + problem[1:]
        click.echo(f"{path}: error: {problem} (see {path} --help)", err=True)
        sys.exit(2)
