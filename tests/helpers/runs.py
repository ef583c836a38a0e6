"""The commands of the project, run as a person runs them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TINY = ROOT / "workflows" / "experiments" / "tiny.yaml"
TABLES = "results/tiny-tables"  # of that experiment
CONFIG = f"{TABLES}/config.yaml"


def environment(**extra):
    """The environment of a command run by a test: this Python's commands, a store of its own, one
    thread a job.
    """
    return {
        **{key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **extra,
    }


def snakemake(folder, *arguments, **extra):
    """Runs the real Snakefile in `folder`; returns the finished process with its output."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--cores",
        "2",
        *arguments,
    ]
    return subprocess.run(
        command, cwd=folder, env=environment(**extra), capture_output=True, text=True
    )


def bench(folder, *arguments, **extra):
    """Runs the `bench` command in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=folder,
        env=environment(**extra),
        capture_output=True,
        text=True,
    )
