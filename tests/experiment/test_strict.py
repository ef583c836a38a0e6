"""YAML that a person may write: it reads as PyYAML reads it."""

import pytest
import yaml

from bench.experiment import strict
from tests.helpers.runs import ROOT

TEXTS = [
    "a: &a {b: 1}\nc: {<<: *a, b: 2}",  # a merged key may be set anew
    "a: [0, -1, 10, 0x10, 1_000, 0b11]",
    "a: [0.5, 1.0e-3, .inf, -.5, 00.5]",
    "a: ['1:30', '010', 1e-3, ~, yes]",
    "a: {b: {c: [d, {e: f}]}}",
    "a: 2024-01-31",
    "",
]
FILES = [ROOT / "params.yaml", *sorted((ROOT / "workflows").glob("*/*.yaml"))]


@pytest.mark.parametrize("text", TEXTS)
def test_plain_yaml(text):
    assert strict.parse(text, "it") == yaml.safe_load(text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_files_of_the_workflow(path):
    text = path.read_text(encoding="utf-8")
    assert strict.parse(text, path) == yaml.safe_load(text)


def test_numbers_and_aliases_up_to_the_limits():
    assert strict.parse("a: " + "1" * strict.DIGITS, "it") == {"a": int("1" * strict.DIGITS)}
    wide = f"a: &a [{', '.join(['1'] * 99)}]\nb: [{', '.join(['*a'] * 900)}]"
    assert len(strict.parse(wide, "it")["b"]) == 900
