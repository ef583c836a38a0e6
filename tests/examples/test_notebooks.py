"""The notebooks run from their first cell to their last, and show what they showed."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.runs import ROOT, environment

NOTEBOOKS = sorted(path.name for path in (ROOT / "examples").glob("*.ipynb"))


def read(name):
    return nbformat.read(ROOT / "examples" / name, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.parametrize(
    "name",
    [
        name if name == "quickstart.ipynb" else pytest.param(name, marks=pytest.mark.slow)
        for name in NOTEBOOKS
    ],
)
def test_a_notebook_runs(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", environment()["PATH"])
    notebook = read(name)
    shown = [[output.output_type for output in cell.outputs] for cell in code(notebook)]
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for cell, before in zip(code(notebook), shown, strict=True):
        kinds = [output.output_type for output in cell.outputs if output.get("name") != "stderr"]
        assert kinds == before, cell.source


def test_the_quickstart_has_twenty_lines():
    lines = "\n".join(cell.source for cell in code(read("quickstart.ipynb"))).splitlines()
    assert sum(bool(line.strip()) and not line.strip().startswith("#") for line in lines) <= 20


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_kept_of_a_notebook_is_small_and_names_no_machine(name):
    text = (ROOT / "examples" / name).read_text()
    assert len(text) < 150_000 and "/tmp/" not in text and "/home/" not in text
