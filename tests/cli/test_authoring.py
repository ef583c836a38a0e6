"""`bench new` writes files that work at once: the commands that it prints are run as printed."""

import shutil
import subprocess

import pytest

from bench import cli
from tests.helpers.runs import ROOT, bench, environment


@pytest.fixture
def clone(tmp_path):
    """The package and what its tests share, in a folder of their own."""
    folder = tmp_path / "clone"
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("bench", "tests/helpers"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "tests/__init__.py", "tests/conftest.py"):
        shutil.copy2(ROOT / name, folder / name)
    (folder / "tests/covariance").mkdir()
    (folder / "tests/covariance/__init__.py").touch()
    return folder


def typed(command, folder):
    """A command of the output, as a person types it in the clone."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(PYTHONPATH=str(folder), OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "options",
    [
        [],
        pytest.param(["--learned"], marks=pytest.mark.slow),
        pytest.param(["--into", "my own"], marks=pytest.mark.slow),
        pytest.param(["--into", "my own", "--learned"], marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_what_is_written_works_and_its_test_can_fail(options, clone):
    run = bench(clone, "new", "variant", "steep_one", *options, PYTHONPATH=str(clone))
    assert run.returncode == 0, run.stderr
    *_, told, check, test = run.stdout.splitlines()
    name = "steep_one:SteepOne" if "--into" in options else "steep_one"
    assert f" it is {name}. " in told and check.endswith(f"bench check variant {name}")
    for command in (check, test):
        found = typed(command, clone)
        assert found.returncode == 0, found.stdout + found.stderr
    file = clone / ("my own" if "--into" in options else "bench/covariance") / "steep_one.py"
    text = file.read_text()
    assert text.count("return seen.") == 1 and "my_variant" not in text
    file.write_text(text.replace("return seen.", "return 0.5 * seen."))
    found = typed(f"{test} -k formula", clone)
    assert found.returncode == 1 and "1 failed" in found.stdout


@pytest.mark.parametrize(
    "name, message",
    [
        ("npr", "NAME: there is a variant 'npr' already"),
        ("mle_rank", "NAME: there is a variant 'mle_rank' already"),
        ("two words", "NAME: expected letters, digits and _ with a letter first.* 'two words'"),
        ("lambda", "no word of Python, found 'lambda'"),
        ("../up", "found '../up'"),
        ("seen", "'seen' would be a class Seen, which bench.covariance has already"),
        ("random", "there is a module 'random' already"),
        ("bench", "there is a module 'bench' already"),
        ("taken", "taken.py: exists already; expected the name of a new variant"),
        ("half", "test_half.py: exists already"),
    ],
)
def test_a_name_that_cannot_be_is_one_line(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    before = [tmp_path / "mine/taken.py", tmp_path / "mine/test_half.py"]
    for path in before:
        path.touch()
    with pytest.raises(SystemExit, match=f"^bench new variant: error: .*{message}") as caught:
        cli.main(["new", "variant", name, "--into", "mine"])
    assert "\n" not in caught.value.code
    assert sorted((tmp_path / "mine").iterdir()) == before


def test_outside_a_clone_it_asks_for_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="start the command in the clone, or name a folder"):
        cli.main(["new", "variant", "steep_one"])
    for folder in ("bench/covariance", "tests/covariance"):
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(SystemExit, match="would not find a file here; type: pip install --edit"):
        cli.main(["new", "variant", "steep_one"])


def test_in_the_clone_a_file_with_several_variants_is_not_replaced(monkeypatch):
    """mle.py has the variants mle_scalar and mle_diagonal, and none that is called mle."""
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match="error: bench/covariance/mle.py: exists already"):
        cli.main(["new", "variant", "mle"])
