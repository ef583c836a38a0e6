"""From a state dict in others' key layout to the modules used here: a table of names.

A published file is a state dict, {key: tensor}, or holds one. DDIM's is the list [model, optimizer,
epoch, step, EMA], in which the model's keys begin with `module.`. Analytic-DPM's is a mapping with
the networks' averages under `ema_models_states`. The averages are taken: those repositories sample
with them.

Sources: github.com/ermongroup/ddim, runners/diffusion.py and models/ema.py;
github.com/baofff/Analytic-DPM, cifar_imagenet_codes/interface/utils/ckpt.py.
"""

import math
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.runtime import files, imports, weights
from bench.runtime.errors import BenchError

GROUPS = 32  # of every normalisation in the published networks; no shape in a file depends on it


@dataclass(frozen=True)
class Network:
    """A state dict, converted.

    unet: a UNet2DModel in fp32 that predicts ε. variance, second: states of a `bench.heads.Head`,
    or None. If a network has twice as many outputs as inputs, `variance` is the second half of
    them, the head improved_ddpm. `second` is an output that was trained on the finished network, a
    head npr or sn. Only the name of the file says which of the two.
    """

    unet: torch.nn.Module
    variance: dict[str, Tensor] | None = None
    second: dict[str, Tensor] | None = None


def state_dict(path: str | Path, remedy: str) -> dict[str, Tensor]:
    """The state dict {key: tensor} of a file that torch.save wrote.

    Prefixes of a parallel model are removed. remedy: the end of an error. Only tensors, numbers,
    strings and containers are read. Raises BenchError if the file is missing, truncated, or holds
    anything else.
    """
    with files.reading(path, remedy):
        try:
            value = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            # torch's own text advises to load the objects all the same
            raise BenchError(
                f"{path}: truncated, or holds objects other than tensors, which are not read; "
                f"{remedy}"
            ) from error
    state = _unwrapped(value)
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(key, str) and torch.is_tensor(state[key]) for key in state)
    ):
        found = (
            f"the keys {', '.join(map(str, list(state)[:3]))}, …"
            if isinstance(state, dict)
            else f"a {type(state).__name__}"
        )
        raise BenchError(f"{path}: holds no state dict of tensors: found {found}; {remedy}")
    weights.check(state, path, remedy)
    prefix = "module."
    if all(key.startswith(prefix) for key in state):
        return {key.removeprefix(prefix): tensor for key, tensor in state.items()}
    return dict(state)


def _unwrapped(value):
    """The part of a file's content that its authors sample with."""
    if isinstance(value, (list, tuple)) and value:
        return value[-1] if isinstance(value[-1], dict) else value[0]
    if (
        isinstance(value, dict)
        and isinstance(value.get("ema_models_states"), dict)
        and len(value["ema_models_states"]) == 1
    ):
        return next(iter(value["ema_models_states"].values()))
    return value


def another(kind: str, found: str, expected: str) -> BenchError:
    """The error for a state dict that is not of the U-Net of this kind."""
    return BenchError(f"not a state dict of the {kind} U-Net: found {found}; expected {expected}")


def check_layout(kind: str, state: Mapping[str, Tensor], layout: Sequence[str]) -> None:
    """BenchError unless the keys that a network of this kind always has are there."""
    if not set(layout) <= set(state):
        raise another(
            kind,
            f"the keys {', '.join(list(state)[:3])}, …",
            f"tensors named {', '.join(layout)}, …",
        )


def shape(kind: str, state: Mapping[str, Tensor], key: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a tensor. BenchError if it is missing or has another number of dimensions."""
    if key not in state:
        raise another(
            kind, f"no {key}", "residual blocks, and convolutions of stride 2 between levels"
        )
    found = tuple(state[key].shape)
    if len(found) != dimensions:
        raise another(kind, f"{key} of shape {found}", f"{dimensions} dimensions")
    return found


def level_options(
    kind: str, levels: Sequence[Sequence[tuple[int, bool]]], width: int
) -> dict[str, Any]:
    """The options of a UNet2DModel for its levels.

    levels: on the way down, [[(channels, whether attention follows) of every residual block] …].
    width: channels of the first convolution. BenchError for levels that a UNet2DModel cannot have.
    """
    counts = [len(level) for level in levels]
    if 0 in counts:
        raise another(
            kind, f"{counts} residual blocks on the way down", "one or more in every level"
        )
    if any(channels % GROUPS for level in levels for channels, _ in level):
        raise another(
            kind,
            f"levels of {[level[0][0] for level in levels]} channels",
            f"multiples of the {GROUPS} groups",
        )
    if len(set(counts)) > 1:
        raise another(
            kind, f"{counts} residual blocks on the way down", "the same number in every level"
        )
    if any(len(set(level)) > 1 for level in levels) or levels[0][0][0] != width:
        raise another(
            kind,
            f"(channels, attention) of {levels} on the way down",
            f"the same in all blocks of a level, and {width} channels in the first",
        )
    channels, attention = zip(*(level[0] for level in levels), strict=True)
    return {
        "block_out_channels": channels,
        "layers_per_block": counts[0],
        "down_block_types": tuple(
            "AttnDownBlock2D" if there else "DownBlock2D" for there in attention
        ),
        "up_block_types": tuple(
            "AttnUpBlock2D" if there else "UpBlock2D" for there in reversed(attention)
        ),
        "norm_num_groups": GROUPS,
        "attn_norm_num_groups": GROUPS,
        "attention_head_dim": GROUPS,
    }


def halves(
    state: Mapping[str, Tensor], channels: int
) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
    """The state of a UNet2DModel that predicts ε, and of the simple head for its other outputs.

    state: of a UNet2DModel whose first `channels` outputs are ε. A head has the network's last
    normalisation, which both halves read. None if there are no other outputs.
    """
    parts = ("weight", "bias")
    last = {part: state[f"conv_out.{part}"] for part in parts}
    mean = {**state, **{f"conv_out.{part}": last[part][:channels].clone() for part in parts}}
    if len(last["bias"]) == channels:
        return mean, None
    head = {f"norm.{part}": state[f"conv_norm_out.{part}"].clone() for part in parts}
    head |= {f"conv.{part}": last[part][channels:].clone() for part in parts}
    return mean, head


def make_unet(options: Mapping[str, Any], heads: int) -> torch.nn.Module:
    """A UNet2DModel in evaluation mode with `heads` heads in every attention, without values.

    `fill` gives it values.
    """
    with torch.device("meta"):  # to draw values that are replaced takes seconds
        unet = imports.unet_2d()(**options).eval()
    set_heads(unet, heads)
    return unet


def set_heads(unet: torch.nn.Module, heads: int) -> None:
    """Gives every attention of a UNet2DModel `heads` heads.

    The number is kept in its config as `_attention_heads`, and saved with the network. BenchError
    if it does not divide the channels of an attention.
    """
    imports.declare_torchvision()
    from diffusers.models.attention_processor import Attention

    attentions = {
        name: module for name, module in unet.named_modules() if isinstance(module, Attention)
    }
    for name, module in attentions.items():
        if heads < 1 or module.inner_dim % heads:
            raise BenchError(
                f"{name}: {module.inner_dim} channels; expected a number of attention heads that "
                f"divides them, found {heads}"
            )
        module.heads = module.sliceable_head_dim = heads
        module.scale = (module.inner_dim // heads) ** -0.5
    # A common divisor of the widths makes layers of the right sizes. If all widths are equal, it
    # is the width. diffusers keeps names that begin with an underscore; of others it warns.
    width = math.gcd(*(module.inner_dim // heads for module in attentions.values()))
    unet.register_to_config(attention_head_dim=width, _attention_heads=heads)


def check_keys(kind: str, state: Mapping[str, Tensor], modules: Iterable[str]) -> None:
    """BenchError unless the keys of the state dict are weight and bias of each of `modules`."""
    expected = {f"{module}.{part}" for module in modules for part in ("weight", "bias")}
    for what, keys in (("missing", expected - set(state)), ("unexpected", set(state) - expected)):
        if keys:
            first = ", ".join(sorted(keys)[:3])
            raise BenchError(
                f"{kind} U-Net: {what} keys ({len(keys)}): "
                f"{first}{', …' if len(keys) > 3 else ''}; "
                f"expected the {len(expected)} keys of an unconditional network"
            )


def fill(kind: str, unet: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Puts tensors, {key in the network: tensor}, into a network of `make_unet`.

    BenchError for the first tensor that has another shape.
    """
    state = unet.state_dict()
    for name, there in state.items():
        # In others' attention, a linear layer is a convolution of width 1 over positions.
        tensor = tensors[name]
        if tensor.shape[:2] == there.shape == tensor.squeeze().shape:
            tensor = tensor.reshape(there.shape)
        if tensor.shape != there.shape:
            raise another(kind, f"{tuple(tensor.shape)} for {name}", f"{tuple(there.shape)}")
        state[name] = tensor
    unet.load_state_dict(state, assign=True)
