"""The benchmark from Python, without configuration or files.

`prepare` takes a network and images, and estimates or trains what variants read. What it returns
goes to the others: `evaluate_bound`, `measure_variances`, `draw_samples`, `make_pipeline`. All of
these are names of the package: `bench.prepare`.

The numbers are those of the workflow's stages. Trajectories and processes have the same names as in
params.yaml.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import torch
from torch import Tensor

from bench import bound, covariance, heads, moments, process, sampler, second_moments, trajectory
from bench import schedule as schedules
from bench import variances as measured
from bench.bound import Cell
from bench.data import dataset
from bench.denoiser import Denoiser
from bench.experiment.sections import HeadsSection, TrainSection
from bench.mean import storage
from bench.mean.function import FunctionModel
from bench.mean.model import MeanModel
from bench.registry import QUANTITIES
from bench.runtime import imports
from bench.runtime.errors import BenchError
from bench.schedule import Schedule

Network = torch.nn.Module | Callable[[Tensor, Tensor], Any]
Images = np.ndarray | Tensor
STREAM = "library"  # names the random numbers, as the setting does in a run
TRAINING = {"batch": 128, "learning_rate": 2e-3, "ema": 0.99}
WARMUP = 20  # steps of a training, at most


def prepare(
    network: Network,
    images: Images,
    variants: Sequence[str],
    *,
    levels: int | None = 256,
    schedule: str | Schedule = "linear",
    N: int = 1000,
    prediction_type: str = "epsilon",
    draws: int = 100,
    head: str = "simple",
    head_steps: int = 800,
    seed: int = 0,
) -> Denoiser:
    """What variants need to know about a network and its data.

    Parameters
    ----------
    network
        A UNet2DModel of diffusers, or a function of images (batch, channels, height, width) in
        [−1, 1] with noise, and timesteps (batch,) from 0 to N − 1. It returns a prediction of the
        shape of the images. Learned variants need a UNet2DModel. A network is put into evaluation
        mode, and a UNet2DModel has no gradients from now on.
    images
        uint8 (n, channels, height, width), from 0 to levels − 1. The moments and the heads are of
        them. Floats are continuous data, with levels = None.
    variants
        Names of rows, as in params.yaml, or of `bench.covariance.Variant`s that were defined
        before.
    levels
        How many grey levels the data have.
    schedule, N
        The noise schedule: its name and number of steps, or a `bench.schedule.Schedule`.
    prediction_type
        What the network predicts: epsilon, sample or v_prediction.
    draws
        Pairs of image and noise at each step that moments are estimated from: N · draws network
        passes, if a variant or its optimal trajectory reads moments.
    head, head_steps
        The mode of heads of learned variants, simple or complex, and the steps of their training.
    seed
        Of all random numbers.

    Raises
    ------
    BenchError
        For an unknown variant, images or a network that do not fit, and a learned variant of a
        network without features.
    """
    data = _data(images, levels)
    chain = schedule if isinstance(schedule, Schedule) else schedules.make(schedule, N)
    model = _model(network, prediction_type, chain, data)
    rows = [covariance.get(name) for name in variants]
    for row in rows:
        row.check_shape(data.shape)
    stream, kept = (seed, STREAM), None
    learned = {row.name: head for row in rows if row.head is not None}
    reads = {name for row in rows for name in (*row.moments, *row.edge_moments)}
    reads |= {name for row in rows if row.head for name in row.head.moments}
    if reads:
        structures = sorted(filter(second_moments.is_one, reads))
        coordinates = sorted(reads.intersection(QUANTITIES))  # of all, they are N · d · 80 bytes
        options = {"coordinates": coordinates, "structures": structures}
        with torch.inference_mode():
            kept = moments.estimate(model, data, chain, draws, stream, **options)
    trained = {}
    if learned:
        trained = _train(model, data, chain, learned, head_steps, stream, kept)
    return Denoiser(model, trained, kept, data, chain)


def _data(images, levels):
    """The `Data` of images of one's own. BenchError if there are none."""
    data = dataset.of(images.detach().cpu().numpy() if torch.is_tensor(images) else images, levels)
    if not len(data.test):
        raise BenchError("images: expected at least one, found none")
    return data


def _model(network, prediction_type, chain, data):
    """The mean model of a network."""
    if hasattr(network, "unet") or not callable(network):
        raise BenchError(
            f"network: expected a UNet2DModel or a function, such as pipeline.unet, found a "
            f"{type(network).__name__}"
        )
    if isinstance(network, imports.unet_2d()):
        storage.check_channels(network, data.shape, "network")
        first = next(network.parameters())
        if first.dtype != torch.float32:
            raise BenchError(
                f"network: expected a UNet2DModel in float32, found {first.dtype}; pass "
                "network.float()"
            )
        return MeanModel(network, prediction_type, chain, data.shape, device=first.device)
    return FunctionModel(network, prediction_type, chain, data.shape)


def _train(model, data, chain, learned, steps, stream, kept):
    """{name: trained head} of {name: mode}."""
    if isinstance(model, FunctionModel):
        raise BenchError(
            f"variants: {next(iter(learned))} is learned from the features of a network; expected "
            "a UNet2DModel of diffusers, or variants without a head"
        )
    training = TrainSection(steps=steps, warmup=min(WARMUP, steps), **TRAINING)
    section = HeadsSection(targets=learned, train=training)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "heads.pt"
        trained, _ = heads.train(model, data, chain, section, stream, checkpoint, moments=kept)
    return dict(trained.items())


def evaluate_bound(
    denoiser: Denoiser,
    variants: Sequence[str],
    K: int,
    images: Images,
    *,
    trajectory: str = "even",
    seed: int = 0,
    batch: int = 256,
) -> pandas.DataFrame:
    """The bound on −log p(x) of images: a row for each variant.

    Columns variant, K, mean and stderr over images; mean and stderr are in bits/dim, or in nats for
    continuous data. images: as of `prepare`; other ones than there, for an honest number.
    trajectory: even, even_ddim, quadratic_ddim, or optimal if all variants have one. Images and
    noise are the same for all variants.
    """
    tested = replace(denoiser, data=_data(images, denoiser.data.levels))
    if tested.data.shape != denoiser.data.shape:
        raise BenchError(
            f"images: expected the shape {denoiser.data.shape} of those of `prepare`, found "
            f"{tested.data.shape}"
        )
    forward, cells = process.make(process.BOUND_PROCESS, denoiser.schedule), []
    for name in variants:
        _check(denoiser, name, forward.name)
        steps = choose_steps(denoiser, name, K, trajectory)
        cells.append(Cell(trajectory, name, K, tuple(steps)))
    count = len(tested.data.test)
    totals = bound.evaluate(tested, forward, cells, count, (seed, STREAM), batch).total
    columns = {
        "variant": list(variants),
        "K": K,
        "mean": totals.mean(axis=1),
        "stderr": totals.std(axis=1, ddof=1) / count**0.5,
    }
    return pandas.DataFrame(columns)


def measure_variances(
    denoiser: Denoiser, variants: Sequence[str], K: int, *, trajectory: str = "even", seed: int = 0
) -> pandas.DataFrame:
    """The variances of DDPM's steps on 16 images: a row for each variant and jump s → t.

    Columns as of `bench.variances.measure`: lower and upper bound of σ², its mean sigma_sq, v, and
    the range v_low to v_high of v over images and coordinates.
    """
    forward, groups = process.make(process.BOUND_PROCESS, denoiser.schedule), {}
    for name in variants:
        _check(denoiser, name, forward.name)
        steps = choose_steps(denoiser, name, K, trajectory)
        groups.setdefault(tuple(steps), []).append(name)
    rows = []
    for steps, names in groups.items():  # a pass serves all variants of the same steps
        rows += measured.measure(denoiser, forward, names, {K: steps}, (seed, STREAM))[0]
    table = pandas.DataFrame(rows, columns=measured.ROW)
    places = table.variant.map(list(variants).index)
    return table.iloc[places.argsort(kind="stable")].reset_index(drop=True)


def draw_samples(
    denoiser: Denoiser,
    variant: str,
    K: int,
    count: int,
    *,
    process: str = "ddpm",
    eta: float = 0.0,
    trajectory: str = "even",
    clip_levels: float | None = 1.0,
    seed: int = 0,
    batch: int = 256,
) -> np.ndarray:
    """Images, uint8 (count, channels, height, width); floats for continuous data.

    process: ddpm, ddim, ddpm_2m or ddim_2m; eta is η of ddim and ddim_2m. clip_levels: y of
    `bench.sampler`, for variants whose noise is clipped. x_N and the noise of each step are the
    same for all variants and processes.
    """
    forward, steps, clip = _cell(denoiser, variant, K, process, eta, trajectory, clip_levels)
    if count < 1:
        raise BenchError(f"count: expected at least 1, found {count}")
    stream = (seed, STREAM)
    return sampler.sample(denoiser, forward, variant, steps, 0, count, clip, stream, batch)


def make_pipeline(
    denoiser: Denoiser,
    variant: str,
    K: int,
    *,
    process: str = "ddpm",
    eta: float = 0.0,
    trajectory: str = "even",
    clip_levels: float | None = 1.0,
) -> Any:
    """A DDPMPipeline of diffusers that samples with the variant, see `bench.diffusers`.

    The arguments are those of `draw_samples`. The network must be a UNet2DModel.
    """
    from bench import diffusers  # imports the pipelines of diffusers, which takes seconds

    forward, steps, clip = _cell(denoiser, variant, K, process, eta, trajectory, clip_levels)
    return diffusers.make_pipeline(denoiser, forward, variant, steps, clip)


def choose_steps(denoiser: Denoiser, variant: str, K: int, kind: str) -> list[int]:
    """τ_1 < … < τ_K of a trajectory. BenchError for one that the variant does not have."""
    if kind != "optimal":
        return trajectory.fixed(kind, denoiser.schedule.N, K)
    forward = process.make(process.BOUND_PROCESS, denoiser.schedule)
    return covariance.get(variant).optimal_steps(forward, denoiser.moments, [K])[K]


def _cell(denoiser, variant, K, process_name, eta, kind, clip_levels):
    """(process, τ, y) of a cell of the samples."""
    row = _check(denoiser, variant, process_name)
    if clip_levels is not None and not clip_levels > 0:
        raise BenchError(f"clip_levels: expected a number above 0, or None, found {clip_levels}")
    clip = clip_levels if row.clipped and denoiser.data.levels else None
    forward = process.make(process_name, denoiser.schedule, eta)
    return forward, choose_steps(denoiser, variant, K, kind), clip


def _check(denoiser, name, process_name):
    """The variant, if it suits the process and `prepare` was told of it; else BenchError."""
    row = covariance.get(name)
    missing = [moment for moment in row.moments if moment not in (denoiser.moments or {})]
    if missing or (row.head is not None and name not in denoiser.heads):
        raise BenchError(f"variant {name!r}: expected it among the variants of `prepare`")
    return covariance.check(name, process_name, denoiser.heads)
