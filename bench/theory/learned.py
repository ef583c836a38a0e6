"""The claim about heads, checked where the answer is known: what NPR and SN learn of a mixture's
conditional variance.
"""

import tempfile
from pathlib import Path

from bench import covariance, heads, schedule
from bench.covariance import Seen
from bench.data.readers.mixture import law_of
from bench.experiment.sections import HeadsSection, TrainSection
from bench.mean.oracle import OracleModel
from bench.theory.ground import data_of, row
from bench.training import draw

R_SQUARED = 0.95  # of a head that has learned its variance


def learned(seed, sizes=(0.0, 0.1, 0.2, 0.4), steps=2000, batch=1024, evaluated=20_000):
    """R² of the heads' v against the true E[(ε − ε̂)² | x_t], over x_t and t: NPR learns it, SN at
    perfect mean only.

    sizes: of the imperfection of the mean. The mixture is one of three components in the plane,
    which a small network learns in seconds.
    """
    made, names = schedule.make("linear", 50), (seed, "heads")
    law = law_of(3, 2)
    data = data_of(law, names, test=1)
    section = HeadsSection(
        targets={"npr": "mlp", "sn": "mlp"},
        train=TrainSection(
            steps=steps, batch=batch, learning_rate=5e-3, warmup=steps // 20, ema=0.995
        ),
    )
    for size in sizes:
        model = OracleModel(law, made, size)
        with tempfile.TemporaryDirectory() as folder:
            trained, _ = heads.train(
                model,
                data,
                made,
                section,
                (*names, f"imperfection {size:g}"),
                Path(folder) / "heads.pt",
            )
        x_t, t, _, _ = draw(data, made, (*names, "evaluated"), 0, evaluated)
        truth = model.oracle.variance(x_t, t) + model.bias(x_t) ** 2
        eps_hat, features = model(x_t, t)
        for name, output in heads.outputs(dict(trained.items()), features).items():
            variant = covariance.get(name)
            v = variant.spectrum(Seen(t, made, eps_hat=eps_hat, head=output))
            missed = (v - truth).square().mean(1) / truth.var()
            value, stderr = 1 - missed.mean().item(), missed.std().item() / evaluated**0.5
            holds = variant.assumes == "imperfect mean" or size == 0
            claim = (
                f"R² of {name} against E[(ε−ε̂)²|x_t] at imperfection {size:g} "
                f"is {'above' if holds else 'below'} {R_SQUARED}"
            )
            yield row(claim, variant.source, R_SQUARED, value, stderr, (value > R_SQUARED) == holds)
