"""Bad input is one line that names the key or file, with what was found and expected, and changes
nothing on disk.

The tables of the modules here have an entry for each input. The commands run in this process.
"""

import copy as copying
import os
import shutil

import pytest
import yaml

from bench import cli
from bench.experiment import loading
from bench.runtime import files
from tests.helpers.runs import ROOT, TINY


def contents(folder):
    """{path: its bytes, None for a link or a FIFO} of what is in a folder, but for MLflow's store
    and locks.
    """
    found = {}
    for path in folder.rglob("*"):
        if path.is_symlink() or path.is_fifo():
            found[path] = None
        elif path.is_file() and path.name != "mlflow.db" and path.suffix != ".lock":
            found[path] = path.read_bytes()
    return found


@pytest.fixture(scope="session")
def shared(tiny_run, tmp_path_factory):
    """(a copy of what stages read and write of the finished run, {path: bytes} of it)"""
    skipped = shutil.ignore_patterns(".snakemake", ".logs", ".jobs", "mlartifacts", "ddpm")
    folder = tmp_path_factory.mktemp("bad_input") / "run"
    shutil.copytree(tiny_run, folder, ignore=skipped)
    return folder, {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def copy(shared):
    """A copy of the finished run, which a test may break. It is mended afterwards."""
    folder, whole = shared
    yield folder
    folders = {parent for path in whole for parent in path.parents}
    for path in list(folder.rglob("*")):
        is_kept = path.is_dir() if path in folders else path in whole and path.is_file()
        if not is_kept:
            files.remove(path)
    for path, content in whole.items():
        if not path.exists() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


@pytest.fixture
def refuse(monkeypatch, capsys):
    """A function (folder, arguments, message) that runs a command in a folder.

    It returns the line on stderr, which has the message.
    """

    def run(folder, arguments, message):
        monkeypatch.chdir(folder)
        if "MLFLOW_TRACKING_URI" not in os.environ:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
        before = contents(folder)
        with pytest.raises(SystemExit) as caught:
            cli.main([str(word) for word in arguments])
        code, printed = caught.value.code, capsys.readouterr()
        # without progress bars
        said = [text for text in printed.err.splitlines() if text and "%|" not in text]
        line = code if isinstance(code, str) else said.pop()
        assert said == [], said
        assert code not in (0, None) and line.startswith("bench"), line
        assert message in line and "\n" not in line and "Traceback" not in line, line
        assert "unexpected error" not in line and len(line) < 700, line
        assert contents(folder) == before
        return line

    return run


@pytest.fixture(scope="session")
def tiny_experiment():
    """The tiny experiment resolved."""
    return loading.load(ROOT / "params.yaml", [TINY]).model_dump(mode="json")


@pytest.fixture
def configured(tmp_path, tiny_experiment):
    """A function {dotted key: value} that writes config.yaml to a folder, which it returns.

    `*` in a key is `settings.tiny`; the value DELETE removes the key.
    """

    def write(changes):
        raw = copying.deepcopy(tiny_experiment)
        for path, value in changes.items():
            *outer, last = path.replace("*", "settings.tiny").split(".")
            place = raw
            for key in outer:
                place = place[key]
            place[last] = value
            if value is DELETE:
                del place[last]
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
        return tmp_path

    return write


DELETE = object()
