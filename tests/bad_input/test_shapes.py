"""Rows and heads that are not for images of this shape are told before anything is trained."""

import numpy as np
import pytest

from bench import cli

SETTING = ["--setting", "tiny", "--config", "config.yaml"]
LARGE = {
    "*.data": {"name": "mixture", "components": 2, "dim": 2000, "train": 40, "test": 40},
    "*.clip_levels": None,
    "*.extractor": {"name": "coordinates"},
}


def row(process, variant):
    """The changes that leave one row of one process."""
    return {"*.heads": None, "*.processes": {process: {"variants": [variant]}}}


JACOBIAN = "jacobian: v as a matrix takes a product for each of 2000 coordinates; expected at most"
# what is wrong: (changes of the configuration, message)
CASES = {
    "an mlp": (
        {"*.heads.targets.sn": "mlp"},
        "heads.targets.sn: mode mlp is for vectors; expected simple or complex for images of shape "
        "(1, 8, 8)",
    ),
    "a rank of all coordinates": (
        row("ddim", "mle_rank-64"),
        "processes.ddim.variants: mle_rank-64: moment 'error_vectors-64': expected a rank from 1 "
        "to 63, found 64",
    ),
    "a matrix": (
        LARGE | row("ddpm", "mle_full"),
        "processes.ddpm.variants: mle_full: moment 'error_matrix' is a matrix of 2000 × 2000",
    ),
    "a Jacobian": (LARGE | row("ddpm", "jacobian"), f"processes.ddpm.variants: {JACOBIAN} 784"),
    "a Jacobian in samples": (
        LARGE | row("ddim", "jacobian"),
        f"processes.ddim.variants: {JACOBIAN} 784",
    ),
    "as many products as coordinates": (
        LARGE | row("ddpm", "lanczos-2000"),
        "processes.ddpm.variants: lanczos-2000: v as a matrix takes a product for each of",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_shape_that_is_known_beforehand(case, configured, refuse):
    changes, message = CASES[case]
    line = refuse(configured(changes), ["config", "--config", "config.yaml"], message)
    assert line.startswith("bench config: error: config.yaml: settings.tiny: ")


def test_lanczos_is_for_any_shape(configured, monkeypatch):
    """The remedy of the message above."""
    monkeypatch.chdir(configured(LARGE | row("ddpm", "lanczos-3")))
    cli.main(["config", "--config", "config.yaml"])


IMAGES = np.zeros((20, 8, 8), dtype=np.uint8)
UNKNOWN = {"*.data": {"name": "npz", "path": "it.npz", "levels": 17}}


@pytest.mark.parametrize("stage", ["data", "mean", "moments"])
@pytest.mark.parametrize("case", ["an mlp", "a rank of all coordinates"])
def test_a_shape_that_only_the_file_tells(stage, case, configured, refuse, monkeypatch):
    """By the first stage, or by the next one if the data were there before the row or the head."""
    changes, message = CASES[case]
    folder = configured(UNKNOWN)
    np.savez(folder / "it.npz", **dict.fromkeys(("train", "test"), IMAGES))
    if stage != "data":
        monkeypatch.chdir(folder)
        cli.main(["data", *SETTING])
    configured(UNKNOWN | changes)
    refuse(folder, [stage, *SETTING], message)
