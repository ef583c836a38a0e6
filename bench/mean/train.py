"""Trains the mean model: a UNet2DModel on E‖ε − ε̂(x_t, t)‖², t uniform on 1..N (Ho 2020)."""

import torch

from bench import noise, training
from bench.runtime import devices, imports, stopwatch
from bench.runtime.errors import BenchError


def make_unet(options, shape):
    """A UNet2DModel for images of `shape`. BenchError for options that it does not take."""
    UNet2DModel = imports.unet_2d()
    channels, height, width = shape
    try:
        return UNet2DModel(
            sample_size=(height, width),
            in_channels=channels,
            out_channels=channels,
            **{
                key: tuple(value) if isinstance(value, list) else value
                for key, value in options.items()
            },
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise BenchError(f"mean.unet: not accepted by UNet2DModel ({error})") from error


def train(data, schedule, section, names, checkpoint, on_loss=None, device="cpu"):
    """Returns (EMA network, training log).

    data: `bench.data.dataset.Data`. section: `sections.MeanSection`. names: (seed, setting), the
    root of every draw. checkpoint: path of the resumable state. on_loss: see
    `bench.training.train`. device: where the network is trained.
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
        unet, loss_of_step, section.train, checkpoint, f"mean {names[-1]}", on_loss
    )
