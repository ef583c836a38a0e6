"""Words of the command line."""

import os
import subprocess
import sys

import pytest

from bench import cli
from bench.stages import reporting
from tests.helpers.runs import ROOT, environment

SETTING = ["--setting", "tiny"]
SAMPLES = ["samples", *SETTING, "--process", "ddpm"]
IMPORT = ["import", "model.pth", "--format"]
SCHEDULER = ["check", "scheduler"]

# what is wrong: (arguments, message); each has the configuration beside them
CASES = {
    "unknown stage": (["sample"], "no such command 'sample'"),
    "unknown option": (["data", *SETTING, "--thread", "1"], "no such option '--thread'"),
    "no setting": (["moments"], "missing option '--setting'"),
    "an option without its value": (
        ["data", "--config", "config.yaml", "--setting"],
        "option '--setting' requires an argument",
    ),
    "a word too many": (["data", *SETTING, "now"], "got unexpected extra argument (now)"),
    "unknown setting": (["data", "--setting", "tinny"], "unknown setting 'tinny'; did you mean 't"),
    "a setting without a name": (["data", "--setting", ""], "unknown setting '' (known: tiny)"),
    "a setting of 10000 letters": (["data", "--setting", "a" * 10**4], "unknown setting 'aaaa"),
    "unknown process": (
        ["samples", *SETTING, "--process", "ddmp"],
        "unknown process 'ddmp'; did you mean 'ddpm'",
    ),
    "unknown need": ([*SAMPLES, "--needs", "head"], "unknown --needs 'head'; did you mean 'heads'"),
    "unknown kind": (["trajectories", *SETTING, "--kind", "../even"], "unknown --kind '../even'"),
    "a shard too many": ([*SAMPLES, "--shard", "9"], "expected 0 ≤ shard < 1"),
    "a shard below 0": ([*SAMPLES, "--shard", "-1"], "expected 0 ≤ shard < 1"),
    "a shard that is no number": ([*SAMPLES, "--shard", "one"], "'one' is not a valid integer"),
    "no threads": (["moments", *SETTING, "--threads", "0"], "0 is not in the range x>=1"),
    "2³¹ threads": (
        ["moments", *SETTING, "--threads", str(2**31)],
        "--threads: found 2147483648, with which the stacks of the threads would take 18,014,398 G",
    ),
    "10²⁰ threads": (["moments", *SETTING, "--threads", "1" + "0" * 20], "would take 8"),
    "threads that are no number": (["moments", *SETTING, "--threads", "many"], "'many' is not a"),
    "no such file": (["config", "--config", "nowhere.yaml"], "nowhere.yaml: cannot be read (No su"),
    "a folder": (["config", "--config", "/"], "/: cannot be read (Is a directory"),
    "a name of 5000 letters": (["config", "--config", "a" * 5000], "cannot be read (File name too"),
    "a device": (["config", "--config", "/dev/zero"], "/dev/zero: found a device, which is not"),
    "an overlay that is not there": (
        ["plan", "--configfile", "nowhere"],
        "nowhere: cannot be read",
    ),
    "unknown machine": (["plan", "--device", "toaster"], "--device: unknown device 'toaster'"),
    "no speed": (["plan", "--images-per-second", "fast"], "expected N or NAME=N with N > 0"),
    "a speed of 0": (["plan", "--images-per-second", "0"], "expected N or NAME=N with N > 0"),
    "a speed twice": (
        ["plan", "--images-per-second", "tiny=1", "--images-per-second", "tiny=2"],
        "--images-per-second: found tiny=2 after another for the same",
    ),
    "the speed of nothing": (["plan", "--images-per-second", "x=1"], "unknown network 'x'"),
    "an output in no folder": (
        ["config", "--output", "/dev/null/out"],
        "/dev/null/out: cannot be written (File exists)",
    ),
    "no data set to download": (["fetch", "digts"], "unknown data set to download 'digts'"),
    "no source": (["fetch", "cifar10", "--from", "moon"], "'moon'"),
    "nothing to import": (
        [*IMPORT, "improved_diffusion"],
        "model.pth: missing; mean.published.path: expected a file of format improved_diffusion",
    ),
    "unknown format": ([*IMPORT, "improved"], "unknown format 'improved'; did you mean"),
    "an option that is no pair": ([*IMPORT, "x", "--option", "md5"], "md5: expected KEY=VALUE"),
    "an option twice": (
        [*IMPORT, "x", "--option", "md5=1", "--option", "md5=2"],
        "--option md5=2: found md5 twice; expected it once",
    ),
    "an option inside a value": (
        [*IMPORT, "x", "--option", "heads=1", "--option", "heads.npr=x"],
        "heads is a value already; expected a mapping",
    ),
    "an option that is no YAML": ([*IMPORT, "x", "--option", "md5=[1"], "--option md5=[1: not val"),
    "an option in base 60": ([*IMPORT, "x", "--option", "a=1:30"], "which YAML reads as 90"),
    "a path as a variant": (["check", "variant", "../beta"], "unknown variant '../beta'"),
    "unknown scheduler": ([*SCHEDULER, "DDMScheduler"], "'DDMScheduler'; did you mean 'DDPMSch"),
    "a scheduler that claims nothing": (
        [*SCHEDULER, "HeunDiscreteScheduler"],
        "HeunDiscreteScheduler: cannot be judged, as nothing here says what it claims",
    ),
    "unknown option of a scheduler": (
        [*SCHEDULER, "DDPMScheduler", "--option", "spacing=trailing"],
        "--option: unknown option 'spacing'; did you mean 'timestep_spacing'",
    ),
    "a value that a scheduler refuses": (
        [*SCHEDULER, "DDPMScheduler", "--option", "beta_schedule=steep"],
        "DDPMScheduler: cannot be made (steep is not implemented",
    ),
    "a folder without a scheduler": (
        [*SCHEDULER, "."],
        "scheduler_config.json: missing; expected a folder with scheduler_config.json or ",
    ),
    "no module of a scheduler": (
        [*SCHEDULER, "no.such:Class"],
        "'no.such:Class' cannot be imported",
    ),
    "no scheduler in a module": (
        [*SCHEDULER, "json:JSONDecoder"],
        "expected a subclass of diffusers",
    ),
    "more steps than a scheduler has": (
        [*SCHEDULER, "DDPMScheduler", "--steps", "1001"],
        "DDPMScheduler: --steps 1001: refused",
    ),
    "no steps of a scheduler": (
        [*SCHEDULER, "DDPMScheduler", "--steps", "0"],
        "0 is not in the range",
    ),
}
WITHOUT = ("sample", "fetch", "import", "check")  # commands that read no configuration


@pytest.mark.parametrize("case", CASES)
def test_arguments(case, configured, refuse):
    arguments, message = CASES[case]
    if arguments[0] not in WITHOUT and "--config" not in arguments:
        arguments = [*arguments, "--config", "config.yaml"]
    refuse(configured({}), arguments, message)


def test_threads_of_the_environment(configured, refuse, monkeypatch):
    monkeypatch.setenv("BENCH_THREADS", "many")
    arguments = ["moments", *SETTING, "--config", "config.yaml"]
    message = "'--threads' (env var: 'BENCH_THREADS'): 'many' is not a valid integer"
    refuse(configured({}), arguments, message)


def test_an_error_that_nobody_foresaw(configured, monkeypatch, capsys):
    """One line, and the traceback for who asks for it."""

    def fail(experiment):
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr(reporting, "write_tables", fail)
    monkeypatch.chdir(configured({}))
    with pytest.raises(SystemExit) as caught:
        cli.main(["tables", "--config", "config.yaml"])
    assert caught.value.code == (
        "bench tables: unexpected error: ZeroDivisionError: a b; "
        "run again with --debug for the traceback"
    )
    with pytest.raises(ZeroDivisionError):
        cli.main(["tables", "--config", "config.yaml", "--debug"])


def started(arguments, **extra):
    """A `bench` process in the project's folder, with pipes for both outputs."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env=environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


EXPECTED = "tests/expected/tiny_cells.csv"
PRINTING = [
    ["--help"],
    ["fetch", "--help"],
    ["config"],
    ["plan", "--images-per-second", "100"],
    ["compare", EXPECTED, EXPECTED],
]


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_output_that_nobody_reads(arguments):
    """`bench … | head`: it ends without a word."""
    process = started(arguments)
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 1


LOCALES = {
    "C": {"LC_ALL": "C"},
    "POSIX without UTF-8 mode": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


# torch itself cannot be imported from a path that the locale cannot express
ascii_path = pytest.mark.skipif(not sys.prefix.isascii(), reason="a path with letters beyond ASCII")


@ascii_path
@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_output_in_a_locale_without_letters_beyond_ascii(arguments):
    process = started(arguments, **LOCALES["POSIX without UTF-8 mode"])
    out, err = process.communicate()
    assert process.returncode == 0 and out and err == b""


@ascii_path
@pytest.mark.parametrize("locale", LOCALES)
def test_other_locales(locale, configured):
    """A configuration with letters beyond ASCII is read, and an error with them is printed."""
    folder = configured({})
    text = (folder / "config.yaml").read_text() + "é: 1  # ≤\n"
    (folder / "ü.yaml").write_text(text, encoding="utf-8")
    path = os.fsencode(folder / "ü.yaml")
    process = started([b"config", b"--config", path], **LOCALES[locale])
    out, err = process.communicate()
    assert process.returncode == 1 and out == b"" and err.count(b"\n") == 1
    assert b"unknown key" in err and b"Traceback" not in err
