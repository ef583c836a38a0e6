"""The claim about the heads NPR and SN, checked on the exact conditional variance of a mixture."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import covariance, heads, schedule
from bench.covariance import Seen
from bench.data.readers.mixture import law_of
from bench.experiment.sections import HeadsSection, TrainSection
from bench.mean.oracle import OracleModel
from bench.theory.ground import data_of, row
from bench.training import draw

R_SQUARED = 0.95  # of a head that has learned its variance


def learned(
    seed: int,
    sizes: Sequence[float] = (0.0, 0.1, 0.2, 0.4),
    steps: int = 2000,
    batch: int = 1024,
    evaluated: int = 20_000,
) -> Iterator[dict[str, Any]]:
    """R² of the heads' v against the true E[(ε − ε̂)² | x_t], over x_t and t.

    NPR learns it always, SN only if the mean is perfect. sizes: imperfections of the mean. steps,
    batch: of the training. evaluated: the number of (x_t, t). The mixture has three components in
    the plane, so a small network learns in seconds.
    """
    linear, names = schedule.make("linear", 50), (seed, "heads")
    law = law_of(3, 2)
    data = data_of(law, names, test=1)
    section = HeadsSection(
        targets={"npr": "mlp", "sn": "mlp"},
        train=TrainSection(
            steps=steps, batch=batch, learning_rate=5e-3, warmup=steps // 20, ema=0.995
        ),
    )
    for size in sizes:
        model = OracleModel(law, linear, size)
        with tempfile.TemporaryDirectory() as folder:
            trained, _ = heads.train(
                model,
                data,
                linear,
                section,
                (*names, f"imperfection {size:g}"),
                Path(folder) / "heads.pt",
            )
        x_t, t, _, _ = draw(data, linear, (*names, "evaluated"), 0, evaluated)
        truth = model.oracle.variance(x_t, t) + model.bias(x_t) ** 2
        eps_hat, features = model(x_t, t)
        for name, output in heads.outputs(dict(trained.items()), features).items():
            variant = covariance.get(name)
            v = variant.spectrum(Seen(t, linear, eps_hat=eps_hat, head=output))
            missed = (v - truth).square().mean(1) / truth.var()
            value, stderr = 1 - missed.mean().item(), missed.std().item() / evaluated**0.5
            holds = variant.assumes == "imperfect mean" or size == 0
            claim = (
                f"R² of {name} against E[(ε−ε̂)²|x_t] at imperfection {size:g} "
                f"is {'above' if holds else 'below'} {R_SQUARED}"
            )
            yield row(claim, variant.source, R_SQUARED, value, stderr, (value > R_SQUARED) == holds)
