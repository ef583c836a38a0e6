"""Tables from hand-made cells."""

import numpy as np
import pandas
import pytest

from bench import scores
from bench.report import latex, tables

MADE_BY = "Made by `bench tables`, commit 1234."


def per_image():
    """Two variants on three images: `good` is ahead by 1, 2 and 3."""
    rows = [
        {
            "trajectory": "even",
            "variant": variant,
            "K": K,
            "image": image,
            "nll_bpd": base + image * 10 + behind * (image + 1),
        }
        for variant, behind in [("bad", 1), ("good", 0)]
        for K, base in [(50, 2.0), (10, 4.0)]
        for image in range(3)
    ]
    return pandas.DataFrame(rows)


def fid_rows():
    report = {
        "dtype": "bf16",
        "reference": {"split": "train", "n": 90, "sha256": "abcd"},
        "cells": [
            {
                "variant": variant,
                "trajectory": "even",
                "K": K,
                "metric": "fid",
                "value": value,
                "stderr": 1.0,
                "n": 100,
                "extractor": "net",
            }
            for variant, values in [
                ("good", {5: 12.0, 10: 9.0, 50: 5.0}),
                ("bad", {5: 30.0, 10: 20.0, 50: 15.0}),
            ]
            for K, value in values.items()
        ],
    }
    return tables.fidelity_cells("toy", "ddim", report)


def pairs():
    """The frame of paired.csv of those bounds."""
    return pandas.DataFrame(tables.paired_bounds("toy", per_image()), columns=tables.PAIRED)


@pytest.fixture
def frame():
    said = {
        "published": 13.5,
        "published_source": "Someone2020 Table 1",
        "provenance": "primary",
        "difference": 0.5,
        "tolerance": 1.0,
    }
    published = {
        ("toy", "nll_bpd", "ddpm", "even", "good", 10): {**said, "within": True},
        ("toy", "fid", "ddim", "even", "good", 10): {
            **said,
            "provenance": "quoted",
            "within": False,
        },
        ("toy", "fid", "ddim", "even", "bad", 10): {**said, "tolerance": None, "within": None},
    }
    rows = tables.bound_cells("toy", per_image(), scores.in_group("nll")) + fid_rows()
    return tables.cells([{**row, "network_evaluations": 3 * row["K"]} for row in rows], published)


def test_cells(frame):
    assert list(frame.columns) == tables.COLUMNS and len(frame) == 4 + 6
    row = frame[(frame.variant == "good") & (frame.metric == "nll_bpd") & (frame.K == 10)].iloc[0]
    assert row.value == 14 and row.stderr == pytest.approx(10 / np.sqrt(3)) and row.n == 3
    assert row.published == 13.5 and row.published_source == "Someone2020 Table 1"
    assert (
        row.provenance == "primary"
        and row.difference == 0.5
        and row.tolerance == 1.0
        and row.within
    )
    assert frame.published.notna().sum() == 3 and frame.within.notna().sum() == 2
    assert set(frame[frame.metric == "fid"].reference) == {"train 90 abcd"} and set(
        frame.extractor.dropna()
    ) == {"net"}


def test_a_statistics_file_is_told_by_its_content():
    report = {
        "dtype": "fp32",
        "reference": {"statistics": "/there/stats.npz", "sha256": "0123"},
        "cells": [{"metric": "fid"}],
    }
    (row,) = tables.fidelity_cells("toy", "ddim", report)
    assert row["reference"] == "/there/stats.npz 0123"


def test_table1(frame):
    wide = tables.table1(frame)
    assert list(wide.columns) == [
        "setting",
        "metric",
        "process",
        "trajectory",
        "variant",
        5,
        10,
        50,
    ]
    assert list(wide.variant) == ["bad", "good", "good", "bad"]
    assert wide.loc[1, 10] == 14 and np.isnan(wide.loc[1, 5]) and wide.loc[2, 5] == 12


def test_table1_markdown(frame):
    text = tables.table1_markdown(frame, pairs(), MADE_BY)
    assert "**14.000** ± 5.774 [13.50]" in text and "16.000 ± 6.351" in text
    assert "**12.0** ± 1.0" in text and "**20.0**" not in text
    assert (
        "**9.00** ± 1.00 ≠ [13.50*]" in text
        and "20.0 ± 1.0 (13.50)" in text
        and tables.LEGEND in text
    )
    assert text.endswith(f"\n{MADE_BY}\n")
    assert "+2.000 ± 0.577" in text  # paired: 1, 2, 3 behind, far sharper than ± 6


def test_table1_latex(frame):
    """A table for each block, with what made it; LaTeX's own letters are escaped."""
    frame = frame.assign(variant=frame.variant.replace("bad", "very_bad"))
    text = latex.table1(frame, MADE_BY)
    assert text.count("\\begin{table}") == text.count(f"\n% {MADE_BY}\n") == 2
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}\n") == 2
    bound, fid = text.split("\\begin{table}")[1:]
    assert "\\caption{toy: NLL bound (bits/dim, lower is better), n = 3, ddpm, even}" in bound
    assert "variant & $K = 10$ & $K = 50$ \\\\" in bound
    assert "good & \\textbf{14.000}{\\tiny\\,$\\pm$\\,5.774} [13.50] &" in bound
    assert "very\\_bad & 30.0{" in fid and "$\\neq$ [13.50*] &" in fid


def test_scores_that_rise_and_have_no_error():
    """The best of a column is the largest, and nothing stands for an error that is not known."""
    rows = [
        {
            "setting": "toy",
            "process": "ddim",
            "trajectory": "even",
            "variant": variant,
            "K": 5,
            "metric": metric,
            "value": value,
            "stderr": stderr,
            "n": 100,
        }
        for metric, stderr in (("recall", None), ("kid", 0.01))
        for variant, value in (("low", 0.25), ("high", 0.5))
    ]
    text = tables.table1_markdown(tables.cells(rows, {}), pandas.DataFrame(), MADE_BY)
    recall, kid = text.split("## toy: ")[1:]
    assert (
        "Recall (higher is better)" in recall
        and "**0.5000**" in recall
        and " 0.2500  " in recall
        and "±" not in recall
    )
    assert "**0.2500** ± 0.0100" in kid and "0.5000 ± 0.0100" in kid


def test_without_published_values_there_is_nothing_to_explain(frame):
    unpublished = frame[frame.published.isna()]
    assert tables.LEGEND not in tables.table1_markdown(unpublished, pandas.DataFrame(), MADE_BY)


def test_paired():
    rows = pairs().set_index(["K", "variant"])
    assert set(rows.best) == {"good"} and set(rows.metric) == {"nll_bpd"}
    assert (
        rows.loc[(50, "bad"), "difference"] == pytest.approx(2)
        and rows.loc[(50, "good"), "difference"] == 0
    )
    assert rows.loc[(50, "bad"), "stderr"] == pytest.approx(1 / np.sqrt(3))


def test_paired_scores():
    """Of each K and trajectory, with the spread of the replicates' differences: 1, 2, 3 has 1."""
    cells = [
        {
            "variant": variant,
            "trajectory": trajectory,
            "K": 10,
            "metric": metric,
            "value": value,
            **({"replicates": replicates} if replicates else {}),
        }
        for trajectory, shift in (("even", 0.0), ("optimal", -9.0))
        for metric, variant, value, replicates in [
            ("fid", "b", 14.0 + shift, [21.0, 32.0, 43.0]),
            ("fid", "a", 12.0, [20.0, 30.0, 40.0]),
            ("kid", "a", 1.0, None),
        ]
    ]
    rows = tables.paired_scores("toy", "ddim", {"cells": cells})
    assert rows == [
        ("toy", "fid", "ddim", "even", 10, "b", "a", 2.0, 1.0),
        ("toy", "fid", "ddim", "even", 10, "a", "a", 0.0, 0.0),
        ("toy", "fid", "ddim", "optimal", 10, "b", "b", 0.0, 0.0),
        ("toy", "fid", "ddim", "optimal", 10, "a", "b", 7.0, 1.0),
    ]
    frame = pandas.DataFrame(rows, columns=tables.PAIRED)
    empty = tables.cells([], {})
    text = tables.table1_markdown(empty, pandas.concat([pairs(), frame]), MADE_BY)
    assert text.count("## NLL bound: behind") == text.count("## FID: behind") == 1
    assert "| ddim      | even         | b         | +2.00 ± 1.00 |" in text


def test_table2(frame):
    found = tables.table2(frame, {"toy": 10.0}).set_index("variant")
    assert found.loc["good", "least_K"] == "10" and found.loc["good", "fid"] == 9
    assert found.loc["good", "network_evaluations"] == 30
    assert found.loc["bad", "least_K"] == ">50"


def test_metrics_and_curves(frame):
    assert tables.metrics(frame)["toy"] == {
        "nll_bpd": {
            "ddpm": {
                "K10": {"best": "good/even", "value": 14.0, "default": 16.0},
                "K50": {"best": "good/even", "value": 12.0, "default": 14.0},
            }
        },
        "fid": {
            "ddim": {
                "K5": {"best": "good/even", "value": 12.0, "default": 12.0},
                "K10": {"best": "good/even", "value": 9.0, "default": 9.0},
                "K50": {"best": "good/even", "value": 5.0, "default": 5.0},
            }
        },
    }
    curve = tables.curves(frame, "nll")
    assert list(curve.columns) == [
        "setting",
        "process",
        "variant",
        "K",
        "network_evaluations",
        "value",
    ]
    wide = curve.pivot(index="K", columns="variant", values="value")
    assert list(wide.index) == [10, 50] and list(wide.columns) == ["bad", "good"]


def test_the_best_row_may_be_on_another_trajectory_and_the_default_absent():
    """And of precision the largest is the best."""
    common = {"setting": "toy", "process": "ddpm", "metric": "precision"}
    rows = [
        {**common, "trajectory": trajectory, "variant": variant, "K": K, "value": value}
        for trajectory, variant, K, value in [
            ("even", "first", 10, 0.2),
            ("even", "second", 10, 0.3),
            ("optimal", "first", 10, 0.4),
            ("optimal", "first", 20, 0.5),
        ]
    ]
    assert tables.metrics(tables.cells(rows, {}))["toy"]["precision"]["ddpm"] == {
        "K10": {"best": "first/optimal", "value": 0.4, "default": 0.2},
        "K20": {"best": "first/optimal", "value": 0.5},
    }


def test_the_order_of_convergence_is_the_slope_of_what_is_no_noise():
    """2.0 where the distance falls as evaluations⁻², from the three cells above the noise."""
    rows = []
    for K, value in ((5, 0.4), (10, 0.1), (20, 0.025), (40, 0.003)):
        row = dict.fromkeys(tables.COLUMNS)
        row |= {"setting": "plane", "process": "ddim", "trajectory": "even", "variant": "zero"}
        row |= {"K": K, "network_evaluations": K, "stderr": 0.001}
        rows.append({**row, "metric": "mean_error", "value": value})
        rows.append({**row, "metric": "mmd_sq", "value": value**2, "stderr": 1e-5})
        rows.append({**row, "metric": "fid", "value": value})
    saturated = {"variant": "far", "metric": "mmd_sq", "value": 0.3, "stderr": 0.0}
    rows.append({**row, **saturated})
    frame = pandas.DataFrame(rows, columns=tables.COLUMNS)
    found = tables.orders(frame)
    assert np.isnan(found[found.variant == "far"].order).all()  # a kernel that is 0 tells nothing
    found = found[found.variant == "zero"].set_index("metric")
    assert list(found.index) == ["mean_error", "mmd_sq"]
    assert found.order["mean_error"] == pytest.approx(2.0, rel=1e-9) and found.cells.tolist() == [
        3,
        3,
    ]
    assert found.order["mmd_sq"] == pytest.approx(2.0, rel=1e-9)
    text = tables.table1_markdown(frame, pandas.DataFrame(columns=tables.PAIRED), MADE_BY)
    assert "## Order of convergence" in text and "| 2.00 ± " in text
