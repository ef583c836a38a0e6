"""A UNet2DModel whose output says what a variant reads beside ε̂."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from bench import covariance, heads
from bench.denoiser import Denoiser
from bench.mean import conversion
from bench.mean.model import MeanModel, Trunk, Watch
from bench.runtime import imports
from bench.runtime.errors import BenchError

imports.declare_torchvision()

from diffusers import ConfigMixin, ModelMixin, UNet2DModel  # noqa: E402
from diffusers.configuration_utils import register_to_config  # noqa: E402
from diffusers.models.unets.unet_2d import UNet2DOutput  # noqa: E402


class ReverseUNet(ModelMixin, ConfigMixin):
    """A UNet2DModel and what a variant reads beside ε̂.

    Parameters
    ----------
    unet_config : the config of the UNet2DModel.
    in_channels, sample_size : of the images, where diffusers' pipelines look for them.
    head_config : {mode, numbers} of a `bench.heads.Head`, whose numbers are further channels of the
        output. None if there is none.
    differentiable : whether the output keeps what its derivatives need.
    """

    @register_to_config
    def __init__(
        self,
        unet_config: Mapping[str, Any],
        in_channels: int,
        sample_size: int | Sequence[int],
        head_config: Mapping[str, Any] | None = None,
        differentiable: bool = False,
    ):
        super().__init__()
        self.unet = UNet2DModel.from_config(dict(unet_config))
        if "_attention_heads" in unet_config:  # of a network that others published
            conversion.set_heads(self.unet, unet_config["_attention_heads"])
        self.head = None
        if head_config:
            mode, numbers = head_config["mode"], head_config["numbers"]
            self.head = heads.MODES[mode](mode, Trunk.of(self.unet), numbers)
            self._watch = Watch(self.unet)
        self.requires_grad_(False)

    def forward(
        self,
        sample: Float[Tensor, "batch channels height width"],
        timestep: float | int | Tensor,
        return_dict: bool = True,
    ) -> UNet2DOutput | tuple[Tensor]:
        """The prediction, and behind it the head's numbers, (batch, outputs, height, width).

        If the network is differentiable, `sample` requires a gradient from now on.
        """
        differentiable = self.config.differentiable
        if differentiable:
            sample.requires_grad_()
        with torch.enable_grad() if differentiable else contextlib.nullcontext():
            output = self.unet(sample, timestep, return_dict=False)[0]
        if self.head is not None:
            with torch.no_grad():
                numbers = self.head(self._watch.take())
            output = torch.cat([output, _as_channels(numbers, output)], dim=1)
        return UNet2DOutput(sample=output) if return_dict else (output,)


def _as_channels(numbers, output):
    """Numbers of each image, (batch, n), as channels of the size of `output`; the last is filled
    with zeros.
    """
    batch, _, height, width = output.shape
    channels = math.ceil(numbers.shape[1] / (height * width))
    filled = output.new_zeros(batch, channels * height * width)
    filled[:, : numbers.shape[1]] = numbers
    return filled.reshape(batch, channels, height, width)


def make_unet(denoiser: Denoiser, variant: covariance.Variant) -> torch.nn.Module:
    """The network of `denoiser`, with what the variant reads beside ε̂."""
    model, shape = denoiser.model, denoiser.data.shape
    if not isinstance(model, MeanModel):
        raise BenchError(
            "mean: expected a network, a UNet2DModel of diffusers, found a formula; a pipeline has "
            "nothing to save of it"
        )
    unet, size = model.unet, list(shape[1:])
    differentiable = variant.products(denoiser.data.dim) > 0
    plain = "_attention_heads" not in unet.config
    if plain and variant.head is None and not differentiable:
        unet.register_to_config(sample_size=size)
        return unet
    about = None
    if variant.head is not None:
        head = denoiser.heads[variant.name]
        about = {"mode": head.mode, "numbers": covariance.numbers_of(variant.name, shape)}
    options = {key: value for key, value in unet.config.items() if key != "_name_or_path"}
    wrapped = ReverseUNet(options, shape[0], size, about, differentiable)
    wrapped.unet.load_state_dict(unet.state_dict())
    if about:
        wrapped.head.load_state_dict(head.state_dict())
    return wrapped.eval()
