"""Snakemake's report after a run: one file with everything, which needs no network."""

import json
import re
from html.parser import HTMLParser

from bench.experiment import loading
from bench.runtime import paths
from tests.helpers.runs import ROOT, TABLES, TINY, snakemake

CATEGORIES = {"Tables", "Bound", "Samples", "Variances", "Reproduction"}  # and Truth, of theory


class Loads(HTMLParser):
    """The addresses that a browser would load for a page."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [dict(attrs).get("src")] if tag == "script" else []
        self.found += [dict(attrs).get("href")] if tag == "link" else []


def variable(text, name):
    """A variable of the report's scripts."""
    [value] = re.findall(rf"var {name} = (\{{.*\}});\s*$", text, re.MULTILINE)
    return json.loads(value)


def test_the_report_has_every_figure_and_page(tiny_run, tmp_path):
    """Each with a caption, in a category; and the description of the workflow."""
    path = tmp_path / "report.html"
    run = snakemake(tiny_run, "--report", str(path), "tables", "--configfile", str(TINY))
    assert run.returncode == 0, run.stderr
    text = path.read_text()
    results = variable(text, "results")
    experiment = loading.load(tiny_run / TABLES / "config.yaml")
    figures = {f"{name}.svg" for name in experiment.figures}
    pages = {f"{name}.html" for name in (*paths.PAGES, "table3")}
    shown = {result["filename"] for result in results.values()}
    assert shown == figures | pages
    assert all("<p>" in result["caption"] for result in results.values())
    assert all(result["data_uri"].startswith("data:") for result in results.values())
    assert set(variable(text, "categories")) == CATEGORIES
    assert "How to find your answer" in text and "tiny-tables/config.yaml" in text
    assert not [address for address in Loads(text).found if address]


def test_every_caption_is_used():
    rules = (ROOT / "workflows" / "rules" / "report.smk").read_text()
    for caption in (ROOT / "workflows" / "report").glob("*.rst"):
        assert f'"{caption.stem}"' in rules or caption.stem == "workflow", caption
