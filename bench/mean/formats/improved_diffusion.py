"""improved-diffusion: `.pt` files of OpenAI's U-Net, and of Extended-Analytic-DPM's with heads.

The two networks compute the same function, so a conversion is a list of names. R is the number of
residual blocks per level. `input_blocks.0` is the first convolution. After it, every level of the
way down has R blocks and, except the last level, a block with `op`. The way up has R + 1 blocks per
level, the last level first.

    improved-diffusion                                 UNet2DModel
    time_embed.0, .2                                   time_embedding.linear_1, .linear_2
    input_blocks.0.0                                   conv_in
    input_blocks.i.0, .1 (attention)                   down_blocks.level.resnets.j, .attentions.j
    input_blocks.i.0.op                                down_blocks.level.downsamplers.0.conv
    middle_block.0, .2                                 mid_block.resnets.0, .resnets.1
    middle_block.1 (attention)                         mid_block.attentions.0
    output_blocks.i.0, .1 (attention)                  up_blocks.level.resnets.j, .attentions.j
    output_blocks.i.1.conv, or .2.conv after attention up_blocks.level.upsamplers.0.conv
    out.0, .2                                          conv_norm_out, conv_out
    in a residual block: in_layers.0, .2               norm1, conv1
                         emb_layers.1                  time_emb_proj (scale first, then shift)
                         out_layers.0, .3              norm2, conv2
                         skip_connection               conv_shortcut, where the width changes
    in an attention:     norm, qkv, proj_out           group_norm, to_q + to_k + to_v, to_out.0

The output channels of `qkv` are ordered by head: [q of head 1, k of head 1, v of head 1, q of head
2, …]. Every attention has the same number of heads, so a wider level has wider heads. No shape
tells the number.

A network with twice as many output channels as input channels predicts ε in the first half and a
variance in the second. The NPR and SN networks of Extended-Analytic-DPM, and the OCM ones of
OCM_DPM, have another output, with the same input as `out`:

    out2.0, .2                                         norm, conv of a simple `bench.heads.Head`
    out2.0 (residual block), .1, .3                    block, norm, conv of a complex one

The timestep of both networks may be a fraction. Which timestep stands for the step t = 1..N depends
on the training: (t − 1)·1000/N in the original repository, t·1000/N for the CIFAR-10 networks of
Extended-Analytic-DPM.

Sources: github.com/openai/improved-diffusion,
improved_diffusion/{unet,nn,gaussian_diffusion,respace}.py, and
github.com/baofff/Extended-Analytic-DPM, libs/iddpm/customized.py, core/diffusion/wrapper.py
(`rescale_timesteps`, `shift1`) and configs/. github.com/J-zin/OCM_DPM has the same files.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bench.mean import conversion
from bench.runtime.fields import Count

KIND = "improved-diffusion"
RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
ATTENTION = {"norm": "group_norm", "proj_out": "to_out.0"}
QKV = ("to_q", "to_k", "to_v")
LAYOUT = (
    "time_embed.0.weight",
    "input_blocks.0.0.weight",
    "middle_block.1.qkv.weight",
    "out.2.weight",
)
PARTS = ("weight", "bias")


def read(state: Mapping[str, Tensor], attention_heads: Count = 4) -> conversion.Network:
    """The `bench.mean.conversion.Network` of a state dict {key: tensor}, of any float dtype.

    attention_heads: number of heads of every attention. Raises BenchError if the state dict is of
    another architecture, if keys are missing or unexpected, or if `attention_heads` does not divide
    the channels.
    """
    options = config_of(state)
    images, outputs = options["in_channels"], options.pop("out_channels")
    if outputs not in (images, 2 * images):
        raise conversion.another(
            KIND,
            f"{outputs} output channels",
            f"{images} or {2 * images} for {images} input channels",
        )
    unet = conversion.make_unet({**options, "out_channels": images}, attention_heads)
    expected = unet.state_dict()
    # The table has a shortcut for every block; the network only has those that change the width.
    modules = {
        theirs: ours
        for theirs, ours in _modules(options).items()
        if f"{ours.split('+')[0]}.weight" in expected
    }
    second = _second(state)
    conversion.check_keys(KIND, state, {*modules, *second})
    found = {}
    for theirs, ours in modules.items():
        for part in PARTS:
            found.update(_tensors(state[f"{theirs}.{part}"].float(), ours, part, attention_heads))
    found, variance = conversion.halves(found, images)
    conversion.fill(KIND, unet, found)
    return conversion.Network(
        unet,
        variance,
        {
            f"{ours}.{part}": state[f"{theirs}.{part}"].float()
            for theirs, ours in second.items()
            for part in PARTS
        }
        or None,
    )


def _second(state):
    """{module of the state dict: module of a head} of the output trained on the network, or {}."""
    if not any(key.startswith("out2.") for key in state):
        return {}
    if "out2.0.in_layers.0.weight" not in state:
        return {"out2.0": "norm", "out2.2": "conv"}
    block = _residual("out2.0", "block")
    return {
        **{theirs: ours for theirs, ours in block.items() if "skip" not in theirs},
        "out2.1": "norm",
        "out2.3": "conv",
    }


def config_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options of a UNet2DModel that follow from the names and shapes of a state dict.

    `out_channels` is as in the state dict, with the variance half. Raises BenchError if the state
    dict has another layout, or blocks that a UNet2DModel cannot have.
    """
    conversion.check_layout(KIND, state, LAYOUT)
    width, images = conversion.shape(KIND, state, "input_blocks.0.0.weight", 4)[:2]
    levels = conversion.level_options(KIND, _levels(state), width)
    emb_channels = conversion.shape(KIND, state, "input_blocks.1.0.emb_layers.1.weight", 2)[0]
    return {
        **levels,
        "in_channels": images,
        "out_channels": conversion.shape(KIND, state, "out.2.weight", 4)[0],
        "resnet_time_scale_shift": "scale_shift" if emb_channels == 2 * width else "default",
        "norm_eps": 1e-5,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "downsample_padding": 1,
    }


def _levels(state):
    """[[(channels, whether attention follows) per residual block] per level], on the way down."""
    # The last index, not the first gap: a network that shrinks by pooling has no weights there,
    # and is refused because of the gap.
    indices = [int(found[1]) for key in state if (found := re.match(r"input_blocks\.(\d+)\.", key))]
    levels = [[]]
    for block in (f"input_blocks.{index}" for index in range(1, max(indices) + 1)):
        if f"{block}.0.op.weight" in state:
            levels.append([])
        else:
            levels[-1].append(
                (
                    conversion.shape(KIND, state, f"{block}.0.in_layers.2.weight", 4)[0],
                    f"{block}.1.qkv.weight" in state,
                )
            )
    return levels


def _modules(options):
    """{module of the state dict: module of UNet2DModel} for every module with weights.

    The three modules of a `qkv` are joined by +.
    """
    layers = options["layers_per_block"]
    names = {
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        "input_blocks.0.0": "conv_in",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
        **_residual("middle_block.0", "mid_block.resnets.0"),
        **_attention("middle_block.1", "mid_block.attentions.0"),
        **_residual("middle_block.2", "mid_block.resnets.1"),
    }
    for way, ours, types, blocks in (
        ("input_blocks", "down_blocks", options["down_block_types"], layers),
        ("output_blocks", "up_blocks", options["up_block_types"], layers + 1),
    ):
        # The way down counts the first convolution. A level's convolution of stride 2 is a block.
        index = 1 if way == "input_blocks" else 0
        for level, kind in enumerate(types):
            attends = kind.startswith("Attn")
            for block in range(blocks):
                names |= _residual(f"{way}.{index}.0", f"{ours}.{level}.resnets.{block}")
                if attends:
                    names |= _attention(f"{way}.{index}.1", f"{ours}.{level}.attentions.{block}")
                index += 1
            if level == len(types) - 1:
                break
            if way == "input_blocks":
                names[f"{way}.{index}.0.op"] = f"{ours}.{level}.downsamplers.0.conv"
                index += 1
            else:
                names[f"{way}.{index - 1}.{1 + attends}.conv"] = f"{ours}.{level}.upsamplers.0.conv"
    return names


def _residual(theirs, ours):
    """The names of a residual block's modules."""
    return {f"{theirs}.{inner}": f"{ours}.{name}" for inner, name in RESIDUAL.items()}


def _attention(theirs, ours):
    """The names of an attention's modules."""
    return {
        f"{theirs}.qkv": "+".join(f"{ours}.{name}" for name in QKV),
        **{f"{theirs}.{inner}": f"{ours}.{name}" for inner, name in ATTENTION.items()},
    }


def _tensors(tensor, ours, part, heads):
    """{key in UNet2DModel: tensor} of one weight or bias.

    A `qkv` makes three, in which the channels of a head stay together.
    """
    names = ours.split("+")
    if len(names) == 1:
        return {f"{ours}.{part}": tensor}
    if len(tensor) % (3 * heads):
        raise conversion.another(
            KIND,
            f"a qkv.{part} of {len(tensor)} channels",
            f"a multiple of 3·{heads}, for q, k and v of {heads} heads",
        )
    by_head = tensor.reshape(heads, 3, len(tensor) // (3 * heads), *tensor.shape[1:])
    return {f"{name}.{part}": by_head[:, which].flatten(0, 1) for which, name in enumerate(names)}
