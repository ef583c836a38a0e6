"""Files of the folders that hold variants and metrics."""

import pytest

from bench.runtime import plugins
from bench.runtime.errors import BenchError

BROKEN = {
    "syntax": ("x = 1\n\ndef broken(\n", "broken.py, line 3: cannot be imported (SyntaxError: "),
    "no text": ("x = '\0'\n", "broken.py: cannot be imported ("),
    "import": (
        "x = 1\nimport nowhere_at_all\n",
        "broken.py, line 2: cannot be imported (ModuleNotFoundError: No module named",
    ),
    "name": (
        "\ndef called():\n    return unknown\n\ncalled()\n",
        "broken.py, line 3: cannot be imported (NameError: name 'unknown' is not defined)",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_line_that_names_the_line(case, tmp_path, monkeypatch):
    text, message = BROKEN[case]
    package = tmp_path / f"package_{case.replace(' ', '_')}"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "broken.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(package)
    with pytest.raises(BenchError) as caught:
        plugins.import_folder(package.name, [str(package)])
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
