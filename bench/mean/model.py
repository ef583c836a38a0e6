"""The mean model: a frozen network whose noise prediction ε̂(x_t, t) every variant shares.

It is a `diffusers.UNet2DModel`, trained here (`bench.mean.train`) or taken from a checkpoint. It is
kept as `unet/` (diffusers' own folder, safetensors) beside `mean.json`. Networks that predict x_0
or v = a_t ε − b_t x_0 (Salimans & Ho 2022) are turned into ε̂ in `MeanModel`, and nowhere else. For
data whose law is known, the exact answer may take its place (`bench.mean.oracle`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor

from bench.runtime import devices, stopwatch
from bench.runtime.errors import BenchError, unknown
from bench.schedule import Schedule, levels

PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")  # diffusers' names for ε, x_0 and v


@dataclass(frozen=True)
class Features:
    """What heads read: the last feature map, and the time embedding."""

    hidden: Shaped[Tensor, "batch channels height width"]
    time: Shaped[Tensor, "batch time_channels"]


class Watch:
    """Keeps the `Features` of the last pass of a UNet2DModel.

    Its hooks are methods, so a copy of the network and its watch has hooks of its own.
    """

    def __init__(self, unet: Any):
        self.seen = {}
        unet.conv_norm_out.register_forward_pre_hook(self._keep_hidden)
        unet.time_embedding.register_forward_hook(self._keep_time)

    def take(self) -> Features:
        """The features, which are forgotten."""
        features = Features(**self.seen)
        self.seen.clear()
        return features

    def _keep_hidden(self, module, inputs):
        self.seen["hidden"] = inputs[0]

    def _keep_time(self, module, inputs, output):
        self.seen["time"] = output


@dataclass(frozen=True)
class Trunk:
    """What a head is made for.

    channels: of `Features`. out_channels: outputs per pixel. groups, eps: of the last GroupNorm.
    time_scale_shift: how residual blocks take the time (diffusers' names: `default` is a shift,
    `scale_shift` both).
    """

    channels: int
    time_channels: int
    out_channels: int
    groups: int
    eps: float = 1e-5
    time_scale_shift: str = "default"

    @classmethod
    def of(cls, unet: Any) -> "Trunk":
        """The trunk of a UNet2DModel."""
        norm = unet.conv_norm_out
        return cls(
            norm.num_channels,
            unet.time_embedding.linear_2.out_features,
            unet.config.out_channels,
            norm.num_groups,
            norm.eps,
            unet.config.resnet_time_scale_shift,
        )


def check_halvings(unet: Any, shape: tuple[int, ...], where: object) -> None:
    """BenchError unless a UNet2DModel can halve images of `shape` as often as it does.

    An odd side would be one pixel longer on the way up. where: what the error calls the network.
    """
    halvings = sum(bool(getattr(block, "downsamplers", None)) for block in unet.down_blocks)
    _, height, width = shape
    if height % 2**halvings or width % 2**halvings:
        raise BenchError(
            f"{where}: the network halves images {halvings} times; expected sides that "
            f"{2**halvings} divides, found {height}×{width}"
        )


class MeanModel:
    """ε̂ as a function of x_t and t.

    unet: UNet2DModel. prediction_type: one of `PREDICTION_TYPES`. schedule:
    `bench.schedule.Schedule`. shape: (channels, height, width). first_timestep, scale: at step t
    the network gets the timestep (t − 1 + first_timestep) scale; by default t − 1, as diffusers
    counts from 0. heads: {name: state of a `bench.heads.Head`} of those that came with the network.
    device: where the network runs; its arguments must be there.
    """

    def __init__(
        self,
        unet: torch.nn.Module,
        prediction_type: str,
        schedule: Schedule,
        shape: tuple[int, ...],
        first_timestep: int = 0,
        scale: float | int = 1,
        heads: Mapping[str, Mapping[str, Tensor]] | None = None,
        device: str | torch.device = "cpu",
    ):
        if prediction_type not in PREDICTION_TYPES:
            raise unknown("prediction type", prediction_type, PREDICTION_TYPES)
        self.device = torch.device(device)
        self.layout = devices.layout(device)
        self.unet = (
            stopwatch.watched(unet)
            .eval()
            .requires_grad_(False)
            .to(self.device, memory_format=self.layout)
        )
        self.prediction_type = prediction_type
        self.shape = tuple(shape)
        self.first_timestep, self.scale, self.heads = first_timestep, scale, heads or {}
        self.signal = torch.from_numpy(schedule.signal).to(self.device)
        self.noise = torch.from_numpy(schedule.noise).to(self.device)
        self._watch = Watch(unet)

    @property
    def trunk(self) -> Trunk:
        """The `Trunk` that heads are made for."""
        return Trunk.of(self.unet)

    def __call__(
        self, x_t: Float64[Tensor, "batch dim"], t: Shaped[Tensor, " batch"]
    ) -> tuple[Float64[Tensor, "batch dim"], Features]:
        """ε̂ and `Features`, from one pass of the network. t: steps 1..N, or floats between them."""
        images = (
            x_t.to(torch.float32).reshape(-1, *self.shape).contiguous(memory_format=self.layout)
        )
        timesteps = (t - 1 + self.first_timestep) * self.scale
        output = (
            self.unet(images, timesteps, return_dict=False)[0].reshape(x_t.shape).to(torch.float64)
        )
        features = self._watch.take()
        a, b = levels(self.signal, self.noise, t)
        return predicted_noise(self.prediction_type, output, x_t, a, b), features


def predicted_noise(
    prediction_type: str,
    output: Float64[Tensor, "batch dim"],
    x_t: Float64[Tensor, "batch dim"],
    a: Shaped[Tensor, "batch 1"] | float,
    b: Shaped[Tensor, "batch 1"] | float,
) -> Float64[Tensor, "batch dim"]:
    """ε̂ from what a network predicts. a, b: a_t and b_t. BenchError unless it is one of
    `PREDICTION_TYPES`.
    """
    if prediction_type == "epsilon":
        return output
    if prediction_type == "sample":
        return (x_t - a * output) / b
    if prediction_type == "v_prediction":
        return a * output + b * x_t
    raise unknown("prediction type", prediction_type, PREDICTION_TYPES)
