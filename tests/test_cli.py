"""The command line: help that teaches, one line an error."""

import inspect
import pkgutil
import re
import shlex
import subprocess
import sys

import click
import pytest

from bench import cli
from tests.helpers.runs import ROOT, bench, environment

HEAVY = ("torch", "numpy", "pandas", "pydantic", "yaml", "mlflow", "snakemake", "diffusers")


def leaves(group=cli.root, words=()):
    """{words of the command line: command} of all commands, those of groups inside too."""
    found = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= leaves(command, (*words, name))
        else:
            found[(*words, name)] = command
    return found


COMMANDS = leaves()
STAGES = [
    command.name
    for title in ("Stages, which the workflow runs", "Housekeeping")
    for command in cli.SECTIONS[title]
    if command.name != "thresholds"  # reads no experiment
]


def example(command):
    """The words of a command's example."""
    assert command.epilog.startswith("Example: bench ")
    return shlex.split(command.epilog)[2:]


def test_help_lists_every_command_in_its_section(capsys):
    cli.main(["--help"])
    found = re.findall(r"^  (\w[\w-]*)  ", capsys.readouterr().out, flags=re.MULTILINE)
    listed = [command.name for members in cli.SECTIONS.values() for command in members]
    assert found == listed and set(listed) == set(cli.root.commands)
    assert found[:4] == ["plan", "config", "status", "fetch"] and found[-1] == "store"


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from bench import cli; cli.main(['--help']); "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert found.stdout.endswith("[]\n"), found.stdout + found.stderr


def test_no_command_is_the_help(capsys):
    with pytest.raises(SystemExit) as error:
        cli.main([])
    assert error.value.code == 2 and "Housekeeping:" in capsys.readouterr().err


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_of_a_command_explains_its_options(words, capsys):
    cli.main([*words, "--help"])
    text = capsys.readouterr().out
    assert COMMANDS[words].epilog in text
    for parameter in COMMANDS[words].params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[0] in text and parameter.help
        else:
            assert parameter.human_readable_name in text


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_example_of_a_command_is_one_of_it(words):
    arguments = example(COMMANDS[words])
    assert tuple(arguments[: len(words)]) == words
    with click.Context(cli.root) as context:
        COMMANDS[words].make_context("example", arguments[len(words) :], parent=context)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_a_function_that_takes_its_options(name, tmp_path, monkeypatch):
    """The example runs, up to the function that it would call."""
    resolve, called = pkgutil.resolve_name, []

    def stand_in(target):
        if not target.startswith("bench."):  # the hook that checks types resolves names too
            return resolve(target)
        signature = inspect.signature(resolve(target))
        return lambda experiment, **values: called.append(signature.bind(experiment, **values))

    monkeypatch.setattr(pkgutil, "resolve_name", stand_in)
    monkeypatch.chdir(tmp_path)
    cli.main([*example(cli.root.commands[name]), "--config", str(ROOT / "params.yaml")])
    (bound,) = called
    assert bound.arguments.get("name", "digits") == "digits"
    assert list(tmp_path.iterdir()) == []


def test_a_stage_says_what_it_wrote(tmp_path, monkeypatch, capsys):
    """Whoever runs a stage by hand sees that it is done, and where to look."""
    monkeypatch.chdir(tmp_path)
    config = ["--config", str(ROOT / "params.yaml")]
    cli.main(["trajectories", "--setting", "digits", "--kind", "even", *config])
    said = capsys.readouterr().out
    assert said == "bench trajectories: wrote results/digits/trajectories/even.json\n"
    assert (tmp_path / "results/digits/trajectories/even.json").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["data", "--setting", "digit"], "unknown setting 'digit'; did you mean 'digits'"),
        (
            ["samples", "--setting", "digits", "--process", "ddmp"],
            "unknown process 'ddmp'; did you mean 'ddpm'",
        ),
        (
            ["samples", "--setting", "digits", "--process", "ddpm", "--needs", "head"],
            "unknown --needs 'head'; did you mean 'heads'? (known: heads, moments, nothing)",
        ),
        (
            ["samples", "--setting", "digits", "--process", "ddpm", "--shard", "3"],
            "expected 0 ≤ shard < 1, as many as this stage has",
        ),
        (["fidelity", "--setting", "digits", "--process", "ddmp"], "unknown process 'ddmp'"),
        (
            ["mean", "--setting", "digits"],
            "results/digits/data/data.json: missing; make it with: snakemake --cores all",
        ),
        (["config", "--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if "--config" not in arguments:
        arguments = [*arguments, "--config", str(ROOT / "params.yaml")]
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    line = stopped.value.code  # Python prints a text, and ends with exit code 1
    assert line.startswith(f"bench {arguments[0]}: error: ") and message in line
    assert "\n" not in line and capsys.readouterr().err == ""


def test_a_mistake_is_one_line_and_no_traceback(tmp_path):
    run = bench(tmp_path, "data", "--setting", "digit", "--config", str(ROOT / "params.yaml"))
    assert run.returncode == 1 and len(run.stderr.strip().splitlines()) == 1
    assert run.stderr.startswith("bench data: error: unknown setting 'digit'")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["sample"], "bench: error: no such command 'sample'. Did you mean"),
        (
            ["moments"],
            "bench moments: error: missing option '--setting' (see bench moments --help)",
        ),
        (["moments", "--setting", "digits", "--threads", "0"], "0 is not in the range x>=1"),
        (["theory", "--threads", "two"], "'two' is not a valid integer"),
        (["tables", "--setting", "digits"], "bench tables: error: no such option '--setting'"),
        (["check", "variant"], "bench check variant: error: missing argument 'NAME'"),
    ],
)
def test_a_wrong_command_line_is_one_line_that_names_the_help(arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        cli.main(arguments)
    told = capsys.readouterr().err
    assert error.value.code == 2 and message in told
    assert len(told.splitlines()) == 1 and told.endswith("--help)\n")


def test_debug_shows_the_traceback(tmp_path):
    found = bench(tmp_path, "config", "--config", "nowhere.yaml", "--debug")
    assert found.returncode == 1 and "Traceback" in found.stderr


def test_config_prints_the_resolved_experiment(tmp_path):
    found = bench(tmp_path, "config", "--config", str(ROOT / "params.yaml"))
    assert found.returncode == 0 and "block_out_channels" in found.stdout


def test_output_that_nobody_reads_ends_quietly():
    """`bench config | head`, where head has ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "config"],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 1


def test_ctrl_c_is_one_line(monkeypatch):
    from bench.experiment import loading

    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "load", interrupted)
    with pytest.raises(SystemExit, match="^bench tables: interrupted$"):
        cli.main(["tables"])


@pytest.mark.parametrize("last", [True, False])
def test_check_variant_prints_a_row_a_claim_and_fails_with_one(last, monkeypatch, capsys):
    row = {"source": "Bao 2022a", "expected": 1.0, "measured": 1.25, "stderr": 0.125}
    rows = [{"claim": "range", **row, "verdict": True}, {"claim": "frame", **row, "verdict": last}]
    contract = type(sys)("contract")
    contract.check = lambda name: rows
    monkeypatch.setitem(sys.modules, "bench.theory.contract", contract)
    monkeypatch.setattr("bench.theory.contract", contract, raising=False)
    if last:
        cli.main(["check", "variant", "mine"])
    else:
        with pytest.raises(
            SystemExit, match="mine: 1 of 2 claims do not hold; the first is: frame"
        ):
            cli.main(["check", "variant", "mine"])
    text = capsys.readouterr().out
    assert "| range   | Bao 2022a" in text and "1.25" in text and str(last) in text
