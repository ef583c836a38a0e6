"""The claims about learned variances, checked on the exact conditional ones of a mixture."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from bench import covariance, heads, schedule
from bench.covariance import Seen, Variant
from bench.data.readers.mixture import law_of
from bench.experiment.sections import HeadsSection, TrainSection
from bench.mean.oracle import OracleModel
from bench.schedule import Schedule
from bench.theory.ground import data_of, row
from bench.training import draw

LEARNED = ("npr", "sn", "nll", "ocm", "kdct")
R_SQUARED = 0.95  # of a head that has learned its variance


def learned(
    seed: int,
    sizes: Sequence[float] = (0.0, 0.1, 0.2, 0.4),
    steps: int = 2000,
    batch: int = 1024,
    evaluated: int = 20_000,
    names: Sequence[str] = LEARNED,
) -> Iterator[dict[str, Any]]:
    """R² of the heads' v against the true E[(ε − ε̂)² | x_t], over x_t and t.

    NPR learns it always, SN only if the mean is perfect. The others are judged where the mean is
    what they assume. sizes: imperfections of the mean. steps, batch: of the training. evaluated:
    the number of (x_t, t). names: of the heads. The mixture has three components in the plane, so a
    small network learns in seconds.
    """
    linear, root = schedule.make("linear", 50), (seed, "heads")
    law = law_of(3, 2)
    data = data_of(law, root, test=1)
    training = TrainSection(
        steps=steps, batch=batch, learning_rate=5e-3, warmup=steps // 20, ema=0.995
    )
    for size in sizes:
        met = {
            name: size == 0 or covariance.get(name).assumes == "imperfect mean" for name in names
        }
        judged = [name for name in names if met[name] or name == "sn"]
        section = HeadsSection(targets=dict.fromkeys(judged, "mlp"), train=training)
        model = OracleModel(law, linear, size)
        with tempfile.TemporaryDirectory() as folder:
            trained, _ = heads.train(
                model,
                data,
                linear,
                section,
                (*root, f"imperfection {size:g}"),
                Path(folder) / "heads.pt",
            )
        x_t, t, _, _ = draw(data, linear, (*root, "evaluated"), 0, evaluated)
        matrices = true_matrices(model, linear, x_t, t)
        eps_hat, features = model(x_t, t)
        for name, output in heads.outputs(dict(trained.items()), features).items():
            variant = covariance.get(name)
            seen = Seen(t, linear, eps_hat=eps_hat, head=output, shape=data.shape).framed(variant)
            missed = unexplained(*side_by_side(variant, seen, matrices))
            value, stderr = 1 - missed.mean().item(), missed.std().item() / evaluated**0.5
            claim = (
                f"R² of {name} against E[(ε−ε̂)²|x_t] at imperfection {size:g} "
                f"is {'above' if met[name] else 'below'} {R_SQUARED}"
            )
            yield row(
                claim, variant.source, R_SQUARED, value, stderr, (value > R_SQUARED) == met[name]
            )


def true_matrices(
    model: OracleModel,
    schedule: Schedule,
    x_t: Float64[Tensor, "n dim"],
    t: int | Int64[Tensor, " n"],
) -> Float64[Tensor, "n dim dim"]:
    """E[(ε − ε̂)(ε − ε̂)ᵀ | x_t] = Cov[ε | x_t] + bias biasᵀ. t: a step, or one of each row."""
    scale = torch.as_tensor(schedule.alpha_bar[t] / schedule.noise_sq[t]).reshape(-1, 1, 1)
    bias = model.bias(x_t)
    spread = scale * model.oracle.conditional(x_t, t)[1]
    return spread + bias[:, :, None] * bias[:, None, :]


def side_by_side(
    variant: Variant, seen: Seen, matrices: Float64[Tensor, "n dim dim"]
) -> tuple[Float64[Tensor, "n numbers"], Float64[Tensor, "n numbers"]]:
    """v of each image, and what it should be by the true `matrices`.

    That is their diagonal, its mean if v is one number an image, or all entries if v has another
    frame than pixels.
    """
    v, dim = variant.spectrum(seen), matrices.shape[1]
    if variant.frame != "pixel":
        units = torch.eye(dim, dtype=v.dtype)
        columns = [seen.frame.colour(v, unit.expand(len(v), dim)) for unit in units]
        return torch.cat(columns, dim=1), matrices.flatten(1)
    truth = torch.diagonal(matrices, dim1=1, dim2=2)
    return v, truth if v.shape[1] == dim else truth.mean(1, keepdim=True)


def unexplained(
    v: Float64[Tensor, "n numbers"], truth: Float64[Tensor, "n numbers"]
) -> Float64[Tensor, " n"]:
    """The squared error of v over the variance of the truth, whose mean is 1 − R²."""
    return (v - truth).square().mean(1) / truth.var()
