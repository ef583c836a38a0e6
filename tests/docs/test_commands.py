"""Every command and example of the pages is run, in order, in a copy of the tree.

A block of `sh` is run line by line. A block of `python` or `yaml` whose first comment is a path is
written to that path; other Python is run, other yaml is read, and `text` is what a command prints.
The copy has the results of the tiny experiment already, and its default experiment is `tiny`: what
else is smaller than in the pages stands in SMALLER_COMMANDS and SMALLER_FILES.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
import yaml

from tests.helpers.runs import ROOT, TINY, environment

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md")),
]

# The comments that mark a command as not run here, and what such a command looks like.
MARKS = {
    "needs a GPU": r"^snakemake .*experiments/(cifar10_ls|celeba64|imagenet64|paper)\.yaml",
    "needs a cluster": r"--profile cluster-|slurm_cluster |profiles/kubernetes ",
    "needs a storage": r"--default-storage-provider ",
    "needs Docker": r"^(docker|apptainer) build |--sdm apptainer",
    "needs 10 minutes": r"^snakemake .*experiments/(frontier|jacobian|solvers)\.yaml",
    "needs hours": r"^snakemake --cores all (studies$|results/\w+-tables/study\.csv$)"
    r"|experiments/distances\.yaml",
    "needs a download": r"^(bench fetch|pip (install|download)|python3 -m venv .*pip install) "
    r"|experiments/natural_images\.yaml|^bench (fid my/|check data c)",
    "needs your model": r"\bmine\.yaml|\.pth\b",
    "keeps running: open the page below": r"^mlflow ui ",
}

# Part of a command → what is run in its place.
SMALLER_COMMANDS = {
    "--setting digits": "--setting tiny",
    "export digits": "export tiny",
    "make test": "make --dry-run test",  # these tests would start themselves, and test-slow too
    "make report": "make --dry-run report",
    "make lint": "make --dry-run lint",  # it installs the linters
}

# Part of a file of the copy → what stands there in its place.
SMALLER_FILES = {
    "bench/theory/claims.py": {
        "draws: int = 4000": "draws: int = 500",
        "learned(seed)": "learned(seed, (0.3,), 1200, 512, 5000, names=['npr', 'sn'])",
    },
    "workflows/experiments/mixture.yaml": {
        "settings: [mixture, mixture_imperfect, mixture_one, mixture_2d]": "settings: [mixture_2d]",
        "metrics: [nll, fid]": "metrics: [nll]",
        "draws: 500": "draws: 20",
        "K: [10, 25, 50, 100, 200, 400, 1000]": "K: [10]",
        "images: 5000": "images: 100",
    },
    "workflows/settings/mixture_2d.yaml": {"N: 1000": "N: 50", "steps: 1000": "steps: 20"},
}


def read(page):
    """The text of a page."""
    return (ROOT / page).read_text()


def blocks(page):
    """(language, text) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```", read(page), re.DOTALL | re.MULTILINE)


def commands(text):
    """(command, mark or None) of each line of an `sh` block."""
    for line in text.replace("\\\n", "").splitlines():
        command, _, comment = re.sub(r"\s+", " ", line).partition(" # ")
        if command.strip():
            yield command.strip(), comment if comment.startswith(("needs", "keeps")) else None


ALL_COMMANDS = [
    (page, *pair)
    for page in PAGES
    for language, text in blocks(page)
    if language == "sh"
    for pair in commands(text)
]


@pytest.fixture
def tree(tiny_run, tmp_path):
    """A copy of the tree with the results of the tiny experiment, its default experiment."""
    folder = shutil.copytree(tiny_run, tmp_path / "clone")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for path, changes in SMALLER_FILES.items():
        replace(folder / path, changes)
    default, tiny = (yaml.safe_load(path.read_text()) for path in (ROOT / "params.yaml", TINY))
    tiny.pop("name", None)
    (folder / "params.yaml").write_text(yaml.safe_dump(merged(default, tiny)))
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (folder / ".venv" / "installed").touch()
    for command in (
        ["init", "--quiet"],
        ["config", "user.name", "bench"],
        ["config", "user.email", "bench@example.org"],
        ["add", "."],
        ["commit", "--quiet", "--message", "start"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def merged(base, overlay):
    """`overlay` over `base`, as Snakemake merges it."""
    both = {**base, **overlay}
    for key, value in base.items():
        if isinstance(value, dict) and isinstance(overlay.get(key), dict):
            both[key] = merged(value, overlay[key])
    return both


def replace(path, changes):
    """Replaces parts of a file, each of which it has."""
    text = path.read_text()
    for old, new in changes.items():
        assert old in text, f"{path.name} has no {old!r} to make smaller"
        text = text.replace(old, new)
    path.write_text(text)


def run(command, folder):
    """Runs a line of a page in `folder`, as a shell does."""
    for old, new in SMALLER_COMMANDS.items():
        command = command.replace(old, new)
    finished = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment(PYTHONPATH=str(folder)),
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, (
        f"{command}\n{finished.stdout[-2000:]}{finished.stderr[-4000:]}"
    )


@pytest.mark.parametrize(
    "page", ["README.md", *(pytest.param(page, marks=pytest.mark.slow) for page in PAGES[1:])]
)
def test_a_page_does_what_it_says(page, tree):
    for language, text in blocks(page):
        place = re.match(r"# ([\w./]+\.(py|yaml))\n", text)
        if language == "sh":
            for command, mark in commands(text):
                if mark is None:
                    run(command, tree)
        elif place:
            (tree / place.group(1)).write_text(text)
        elif language == "python":
            (tree / "example.py").write_text(text)
            run("python example.py", tree)
        elif language != "text":  # what a command prints
            assert language == "yaml" and yaml.safe_load(text)
    if page == "README.md":
        the_example_variant_is_in_the_tables(tree)


def the_example_variant_is_in_the_tables(tree):
    results = tree / "results/halfway-tables"
    cells = pandas.read_csv(results / "cells.csv")
    assert {"nll_bpd", "fid"} <= set(cells[cells.variant == "halfway"].metric)
    assert "| halfway" in (results / "table1.md").read_text()


@pytest.mark.parametrize("page, command, mark", [row for row in ALL_COMMANDS if row[2] is not None])
def test_a_command_that_is_not_run_says_why(page, command, mark):
    assert mark in MARKS, f"{page}: # {mark}: expected one of {', '.join(MARKS)}"
    assert re.search(MARKS[mark], command), f"{page}: {command}: nothing here {mark}"


def test_the_marks_and_what_is_made_smaller_are_all_used():
    marks = {mark for _, _, mark in ALL_COMMANDS if mark}
    unmarked = [command for _, command, mark in ALL_COMMANDS if mark is None]
    assert marks == set(MARKS)
    assert all(any(part in command for command in unmarked) for part in SMALLER_COMMANDS)


@pytest.mark.parametrize("page", [*PAGES, "results/README.md"])
def test_links_and_files_that_a_page_names_are_there(page):
    text = read(page)
    folder = (ROOT / page).parent
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text)
    named = re.findall(r"\b(?:bench|workflows|docs|tests)/[\w/]+\.\w+", text)
    written = [re.match(r"# ([\w./]+)\n", block) for _, block in blocks(page)]
    made = {match.group(1) for match in written if match}
    assert [link for link in links if not (folder / link).exists()] == []
    assert [name for name in named if name not in made and not (ROOT / name).exists()] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
