"""Bad input is one line that names the key or file, with what was found and expected, and changes
nothing on disk.

The tables of the modules here have an entry for each input. The commands run in this process.
"""

import os

import pytest
import yaml

from bench import cli
from bench.experiment import loading
from tests.helpers.runs import ROOT, TINY


def contents(folder):
    """{path: its bytes, or None for what is no file} of a folder, but for MLflow's store."""
    found = {}
    for path in folder.rglob("*"):
        if path.relative_to(folder).parts[0] not in ("mlflow.db", "mlartifacts", ".snakemake"):
            found[path] = path.read_bytes() if path.is_file() and not path.is_symlink() else None
    return found


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
        line = code if isinstance(code, str) else printed.err.strip()
        assert code not in (0, None) and line.startswith("bench"), line
        assert message in line and "\n" not in line and "Traceback" not in line, line
        assert "unexpected error" not in line and len(line) < 700, line
        assert contents(folder) == before
        return line

    return run


@pytest.fixture(scope="session")
def tiny_text():
    """The tiny experiment resolved, as YAML."""
    experiment = loading.load(ROOT / "params.yaml", [TINY])
    return yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False)


@pytest.fixture
def configured(tmp_path, tiny_text):
    """A function {dotted key: value} that writes config.yaml to a folder, which it returns.

    `*` in a key is `settings.tiny`; the value DELETE removes the key.
    """

    def write(changes):
        raw = yaml.safe_load(tiny_text)
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
