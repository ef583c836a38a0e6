"""The command line: help that teaches, one line an error."""

import re

import pytest

from bench import cli
from tests.helpers.runs import ROOT, bench

NO_CONFIG = ("benchmark", "thresholds", "data fetch", "mean import")


def test_help_lists_every_stage_in_order():
    found = bench(ROOT, "--help")
    assert found.returncode == 0
    assert re.findall(r"^    (\w+(?: fetch| import)?)\b", found.stdout, flags=re.MULTILINE) == list(
        cli.STAGES
    )


@pytest.mark.parametrize("stage", cli.STAGES)
def test_help_of_a_stage_explains_its_options(stage, capsys):
    with pytest.raises(SystemExit):
        cli.main([*stage.split(), "--help"])
    text = capsys.readouterr().out
    for option in [*cli.STAGES[stage][1], "debug", *(["config"] if stage not in NO_CONFIG else [])]:
        assert {"name": "NAME", "file": "FILE"}.get(option, f"--{option}") in text


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
            "expected 0 ≤ shard < samples.shards = 1, found 3",
        ),
        (["fidelity", "--setting", "digits", "--process", "ddmp"], "unknown process 'ddmp'"),
        (
            ["moments", "--setting", "digits", "--threads", "0"],
            "--threads: expected at least 1, found 0",
        ),
        (
            ["mean", "--setting", "digits"],
            "results/digits/data/data.json: missing; make it with: snakemake --cores all",
        ),
        (["config", "--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
)
def test_mistakes_are_one_line_and_no_traceback(arguments, message, tmp_path):
    if "--config" not in arguments:
        arguments = [*arguments, "--config", str(ROOT / "params.yaml")]
    found = bench(tmp_path, *arguments)
    assert found.returncode == 1
    assert message in found.stderr and len(found.stderr.strip().splitlines()) == 1
    assert found.stderr.startswith(f"bench {arguments[0]}: error: ")


def test_debug_shows_the_traceback(tmp_path):
    found = bench(tmp_path, "config", "--config", "nowhere.yaml", "--debug")
    assert found.returncode == 1 and "Traceback" in found.stderr


def test_config_prints_the_resolved_experiment(tmp_path):
    found = bench(tmp_path, "config", "--config", str(ROOT / "params.yaml"))
    assert found.returncode == 0 and "block_out_channels" in found.stdout
