"""The Dockerfile, and jobs in its image. There is no Docker and no base image here.

The steps of the Dockerfile run in a new folder and a new environment. Left out is `apt-get`, which
needs root and the base image; the wheels of PyTorch's index and of PyPI are those that this
environment has already.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.runs import ROOT, environment, snakemake

PYTHON = """#!/bin/sh
# python3 of the base image. A new environment sees the packages of this one.
{python} "$@" && if [ "$2" = venv ]; then
    echo '{packages}' > "$(echo "$3"/lib/python3.*/site-packages)/these.pth"
fi
"""

APPTAINER = """#!/bin/sh
# `apptainer exec OPTIONS IMAGE bash -c COMMAND`, in an image that has the commands of this machine.
if [ "$1" = --version ]; then echo apptainer version 1.4.0; exit; fi
echo "$@" >> calls
while [ "$1" != bash ] && [ "$1" != /bin/bash ]; do shift; done
exec "$@"
"""


def instructions():
    """[(instruction, arguments), …] of the Dockerfile."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", "").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


def copied():
    """[(sources, place), …] of the COPY instructions."""
    pairs = [shlex.split(rest) for word, rest in instructions() if word == "COPY"]
    return [(sources, place) for *sources, place in pairs]


def executable(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_what_is_copied_is_tracked_and_nothing_else_is_sent():
    names = {name for sources, _ in copied() for name in sources}
    tracked = subprocess.check_output(["git", "ls-files", "--", *names], cwd=ROOT, text=True)
    assert {line.split("/")[0] for line in tracked.splitlines()} == names
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == names and "*" in ignored


def test_the_base_and_the_build_of_pytorch_are_arguments():
    arguments = dict(rest.split("=", 1) for word, rest in instructions() if word == "ARG")
    assert arguments.keys() == {"BASE", "PYTORCH"}
    assert instructions()[1] == ("FROM", "${BASE}")
    (install,) = (rest for word, rest in instructions() if word == "RUN" and "PYTORCH" in rest)
    found = re.search(r"grep -E '([^']*)'", install)[1]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line.split("==")[0] for line in lines if re.search(found, line)]
    assert pinned == ["torch", "torchvision"]


@pytest.mark.slow
def test_the_steps_make_an_environment_that_plans_a_run(tmp_path):
    workdir, prefix, variables = tmp_path / "bench", tmp_path / "opt", environment(PYTORCH="")
    variables.pop("PYTHONPATH", None)
    packages = Path(pytest.__file__).parents[1]
    base = PYTHON.format(python=sys._base_executable, packages=packages)
    executable(tmp_path / "base" / "python3", base)
    variables["PATH"] = f"{tmp_path / 'base'}:/usr/bin:/bin"
    workdir.mkdir()
    ran = 0
    for word, rest in instructions():
        rest = rest.replace("/opt/bench", str(prefix))
        if word == "COPY":
            *sources, place = shlex.split(rest)
            for source in sources:
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy2
                copy(ROOT / source, workdir / place)
        elif word == "ENV":
            name, value = rest.split("=", 1)
            variables[name] = value.replace("${PATH}", variables["PATH"])
        elif word == "WORKDIR":
            assert rest == "/bench"
        elif word == "RUN" and not rest.startswith("apt-get"):
            ran += 1
            found = subprocess.run(
                ["/bin/sh", "-c", rest], cwd=workdir, env=variables, capture_output=True, text=True
            )
            assert found.returncode == 0, f"{rest}\n{found.stdout[-1000:]}{found.stderr[-3000:]}"
        else:
            assert word in ("ARG", "FROM", "RUN"), word
    assert ran == 3
    where = [prefix / "bin" / "python", "-P", "-c", "import bench; print(bench.__file__)"]
    found = subprocess.check_output(where, cwd=tmp_path, env=variables, text=True)
    assert found.startswith(str(prefix))


def test_jobs_run_in_the_image_by_its_bench(tmp_path):
    """As `apptainer` is asked: by a stand-in without an image, whose PATH has the same `python`."""
    executable(tmp_path / "bin" / "apptainer", APPTAINER)
    shutil.copy2(tmp_path / "bin" / "apptainer", tmp_path / "bin" / "singularity")
    (tmp_path / "bench.sif").touch()
    path = f"{tmp_path / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    found = snakemake(tmp_path, "results/table3.csv", "--sdm", "apptainer", PATH=path)
    assert found.returncode == 0, found.stderr[-3000:]
    calls = (tmp_path / "calls").read_text()
    assert len(re.findall("^exec ", calls, re.MULTILINE)) == 1
    assert re.search(r" \S*bench\.sif .*python -P -m bench", calls, re.DOTALL)
    assert (tmp_path / "results" / "table3.csv").is_file()
