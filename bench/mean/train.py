"""Trains the mean model: a UNet2DModel on L_simple = E‖ε − ε̂(x_t, t)‖²/d, t uniform on 1..N (Ho et
al. 2020).

The hybrid objective of Nichol & Dhariwal (2021, section 3.1) is L_simple + 0.001 L_vlb. The network
has twice the outputs. The second half is the variance `improved_ddpm`, which is so trained in one
stage with the mean. L_vlb is the bound in bits per dimension, estimated by N times the term of one
t. It sends no gradient into ε̂, but it does into the layers that both halves share.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bench import covariance, noise, process, training
from bench.data.dataset import Data
from bench.heads import Batch
from bench.mean import conversion
from bench.mean.model import check_halvings
from bench.runtime import devices, imports, memory, stopwatch
from bench.runtime.errors import one_line
from bench.schedule import Schedule

VARIANCE = "improved_ddpm"  # the variant whose variance the hybrid objective trains
BOUND_WEIGHT = 0.001  # of L_vlb in the hybrid objective
COPIES = 5  # of the weights in a training: gradients, two moments of Adam, moving average


def make_unet(
    options: Mapping[str, Any], shape: tuple[int, ...], outputs: int | None = None
) -> torch.nn.Module:
    """A UNet2DModel for images of `shape`, (channels, height, width).

    outputs: its channels at the end, by default those of an image.

    BenchError for options that UNet2DModel does not take, for images that it cannot halve, and for
    weights whose training does not fit into memory.
    """
    UNet2DModel = imports.unet_2d()
    channels, height, width = shape
    options = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}

    @one_line("mean.unet: not accepted by UNet2DModel")
    def make():
        return UNet2DModel(
            sample_size=(height, width),
            in_channels=channels,
            out_channels=outputs or channels,
            **options,
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
) -> tuple[torch.nn.Module, dict[str, dict[str, Tensor]], list[dict]]:
    """Returns (EMA network, {name: state} of the heads trained with it, training log).

    section: a `sections.MeanSection`. names: (seed, setting), the root of every draw. checkpoint,
    on_loss, version: see `bench.training.train`. device: where the network is trained.
    """
    torch.manual_seed(noise.generator(*names, "mean", "weights").integers(2**63))
    layout = devices.layout(device)
    hybrid = bool(section.train.heads)
    outputs = (2 if hybrid else 1) * data.shape[0]
    unet = stopwatch.watched(make_unet(section.unet, data.shape, outputs))
    unet = unet.to(device, memory_format=layout)
    forward = process.make(process.BOUND_PROCESS, schedule)

    def loss_of_step(step):
        torch.manual_seed(noise.generator(*names, "mean", "dropout", step).integers(2**63))
        x_t, t, eps, x_0 = training.draw(
            data, schedule, (*names, "mean"), step, section.train.batch, device=device
        )
        images = x_t.float().reshape(-1, *data.shape).contiguous(memory_format=layout)
        output = unet(images, t - 1, return_dict=False)[0].flatten(1)
        eps_hat = output[:, : data.dim]
        loss = (eps_hat - eps.float()).square().mean()
        if not hybrid:
            return loss
        batch = Batch(x_0, eps, x_t, t, eps_hat.double(), forward, data, (*names, "mean", step))
        return {"mean": loss, VARIANCE: bound_loss(batch, output[:, data.dim :])}

    trained, log = training.train(
        unet, loss_of_step, section.train, checkpoint, f"mean {names[-1]}", on_loss, version
    )
    if not hybrid:
        return trained, {}, log
    mean, head = conversion.halves(trained.state_dict(), data.shape[0])
    network = make_unet(section.unet, data.shape)
    network.load_state_dict(mean)
    return network.eval().requires_grad_(False), {VARIANCE: head}, log


def bound_loss(batch: Batch, output: Float[Tensor, "batch dim"]) -> Float[Tensor, ""]:
    """0.001 L_vlb, in bits per dimension, for the variance half `output` of the network.

    batch: its ε̂ may have a gradient, which is stopped.
    """
    batch = replace(batch, eps_hat=batch.eps_hat.detach())
    nats = covariance.get(VARIANCE).loss(batch, output)
    bits_per_dimension = nats.mean() / (batch.data.dim * math.log(2))
    return BOUND_WEIGHT * batch.process.schedule.N * bits_per_dimension
