"""Trains the mean model: a UNet2DModel on E‖ε − ε̂(x_t, t)‖², t uniform on 1..N (Ho 2020)."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from bench import noise, training
from bench.data.dataset import Data
from bench.mean.model import check_halvings
from bench.runtime import devices, imports, memory, stopwatch
from bench.runtime.errors import one_line
from bench.schedule import Schedule

COPIES = 5  # of the weights in a training: gradients, two moments of Adam, moving average


def make_unet(options: Mapping[str, Any], shape: tuple[int, ...]) -> torch.nn.Module:
    """A UNet2DModel for images of `shape`, (channels, height, width).

    BenchError for options that UNet2DModel does not take, for images that it cannot halve, and for
    weights whose training does not fit into memory.
    """
    UNet2DModel = imports.unet_2d()
    channels, height, width = shape
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}

    @one_line("mean.unet: not accepted by UNet2DModel")
    def make():
        return UNet2DModel(
            sample_size=(height, width), in_channels=channels, out_channels=channels, **options
        )

    with torch.device("meta"):  # no memory is taken
        plan = make()
    check_halvings(plan, shape, "mean.unet")
    weights = sum(tensor.numel() for tensor in plan.parameters())
    memory.check("mean.unet", options, COPIES * 4 * weights, "its training")
    return make()


def train(
    data: Data,
    schedule: Schedule,
    section: Any,
    names: tuple,
    checkpoint: Path,
    on_loss: Callable[[int, dict[str, float]], object] | None = None,
    device: str | torch.device = "cpu",
    version: str = "",
) -> tuple[torch.nn.Module, list[dict]]:
    """Returns (EMA network, training log).

    section: a `sections.MeanSection`. names: (seed, setting), the root of every draw. checkpoint,
    on_loss, version: see `bench.training.train`. device: where the network is trained.
    """
    torch.manual_seed(noise.generator(*names, "mean", "weights").integers(2**63))
    layout = devices.layout(device)
    unet = stopwatch.watched(make_unet(section.unet, data.shape)).to(device, memory_format=layout)

    def loss_of_step(step):
        torch.manual_seed(noise.generator(*names, "mean", "dropout", step).integers(2**63))
        x_t, t, eps, _ = training.draw(
            data, schedule, (*names, "mean"), step, section.train.batch, device=device
        )
        images = x_t.float().reshape(-1, *data.shape).contiguous(memory_format=layout)
        prediction = unet(images, t - 1, return_dict=False)[0].flatten(1)
        return (prediction - eps.float()).square().mean()

    return training.train(
        unet, loss_of_step, section.train, checkpoint, f"mean {names[-1]}", on_loss, version
    )
