"""Heads: what one more costs in training, where the trunk is passed once a step for all of them."""

import tempfile
import time
from pathlib import Path
from unittest import mock

import torch

from bench import covariance, heads
from bench.benchmark import Figure, quiet
from bench.experiment.resolved import Experiment
from bench.experiment.sections import HeadsSection, TrainSection
from bench.runtime import paths, stopwatch
from bench.stages import models

STEPS, ROUNDS = 15, 3


def figures(experiment: Experiment, name: str) -> list[Figure]:
    """The wall time of a training step with 1, 2 and 4 heads, the least of some rounds."""
    setting, place = experiment.setting(name), paths.Setting(name)
    with torch.inference_mode(False):
        model, data, schedule = models.load_model(experiment, setting, place)
    section = TrainSection(
        steps=STEPS, batch=setting.heads.train.batch, learning_rate=1e-3, ema=0.9
    )
    targets = {
        name: covariance.get(name.removesuffix("_too"))
        for name in ("npr", "sn", "npr_too", "sn_too")
    }
    steps, passed = {}, {}
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.dict(covariance.VARIANTS, targets),
        quiet(),
    ):
        for count in (1, 2, 4) * ROUNDS:
            heads_section = HeadsSection.model_construct(
                targets=dict.fromkeys(list(targets)[:count], "simple"), train=section
            )
            begun = time.perf_counter()
            with stopwatch.fresh() as account:
                heads.train(
                    model, data, schedule, heads_section, (0, name), Path(folder) / "checkpoint"
                )
            steps.setdefault(count, []).append((time.perf_counter() - begun) / STEPS)
            passed[count] = account.images
    once = set(passed.values()) == {STEPS * section.batch}
    times_of = ", ".join(f"{count}: {1000 * min(times):.0f} ms" for count, times in steps.items())
    return [
        Figure(
            "heads",
            "trunk passes a training step",
            f"{passed[4] / (STEPS * section.batch):.2f} an image",
            "1.00",
            once,
            "with 1, 2 and 4 heads",
        ),
        Figure(
            "heads",
            "a training step by the number of heads",
            times_of,
            limit=f"{section.batch} images; simple heads; the least of {ROUNDS} rounds",
        ),
    ]
