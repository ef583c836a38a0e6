"""Cells of a toy setting, and how a test reads a figure."""

import pandas
import pytest
from matplotlib import pyplot

ROW = {
    "setting": "toy",
    "process": "ddpm",
    "trajectory": "even",
    "metric": "fid",
    "stderr": 1.0,
    "exact": None,
    "published": None,
}
PAIRS = ["setting", "metric", "process", "trajectory", "K", "variant", "best", "difference"]


@pytest.fixture
def cells():
    """Makes rows of cells.csv: cells({variant: {K: value}}, process="ddim", …)."""

    def make(values, **others):
        rows = []
        for variant, of_variant in values.items():
            for K, value in of_variant.items():
                cell = {"variant": variant, "K": K, "network_evaluations": K, "value": value}
                rows.append({**ROW, **cell, **others})
        return pandas.DataFrame(rows)

    return make


@pytest.fixture
def pairs():
    """Makes rows of paired.csv of FID at one K: pairs({variant: (difference, stderr)})."""

    def make(differences, **others):
        rows = []
        for variant, (difference, stderr) in differences.items():
            row = {**ROW, "K": 10, "variant": variant, "best": "", "difference": difference}
            rows.append({**row, "stderr": stderr, **others})
        return pandas.DataFrame(rows, columns=[*PAIRS, "stderr"])

    return make


@pytest.fixture(autouse=True)
def closed():
    """Figures that a test has drawn are closed behind it."""
    yield
    pyplot.close("all")


def texts(figure):
    """All that stands in the legends of a figure."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]
