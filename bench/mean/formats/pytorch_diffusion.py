"""pytorch_diffusion: DDPM's U-Net in pytorch_diffusion and DDIM (`.ckpt`, `.pth`), with NPR and SN.

The two networks compute the same function, so a conversion is a list of names. `down` and `up`
count levels from the finest, `up_blocks` from the coarsest: level i of L is up_blocks.(L − 1 − i),
written up_blocks.i' here.

    pytorch_diffusion                                  UNet2DModel
    temb.dense.0, .1                                   time_embedding.linear_1, .linear_2
    conv_in                                            conv_in
    down.i.block.j, .attn.j                            down_blocks.i.resnets.j, .attentions.j
    down.i.downsample.conv                             down_blocks.i.downsamplers.0.conv
    mid.block_1, .block_2                              mid_block.resnets.0, .resnets.1
    mid.attn_1                                         mid_block.attentions.0
    up.i.block.j, .attn.j                              up_blocks.i'.resnets.j, .attentions.j
    up.i.upsample.conv                                 up_blocks.i'.upsamplers.0.conv
    norm_out, conv_out                                 conv_norm_out, conv_out
    in a residual block: norm1, conv1, norm2, conv2    the same
                         temb_proj                     time_emb_proj (a shift alone)
                         nin_shortcut                  conv_shortcut, where the width changes
    in an attention:     norm, proj_out                group_norm, to_out.0
                         q, k, v                       to_q, to_k, to_v; one head

No name or shape tells the following. The norms have 32 groups and an eps of 1e-6. The time is
embedded as sines, then cosines, of frequencies from 1 down to 1/10000, both included. A level is
shrunk by a convolution of stride 2, with a row and a column of zeros at the bottom and the right
only. The network gets t − 1 for the step t = 1..N.

The NPR and SN networks of Extended-Analytic-DPM, and the OCM ones of OCM_DPM, have another output,
with the same input as `norm_out`:

    norm_out2, conv_out2                               norm, conv of a `bench.heads.Head`
    before_out (residual block)                        block of a complex one

Sources: github.com/pesser/pytorch_diffusion, pytorch_diffusion/{model,diffusion}.py;
github.com/ermongroup/ddim, models/diffusion.py, runners/diffusion.py;
github.com/baofff/Extended-Analytic-DPM and github.com/J-zin/OCM_DPM, libs/ddpm/customized.py and
configs/.
"""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from bench.mean import conversion

KIND = "pytorch_diffusion"
RESIDUAL = {
    "norm1": "norm1",
    "conv1": "conv1",
    "temb_proj": "time_emb_proj",
    "norm2": "norm2",
    "conv2": "conv2",
}
SHORTCUT = {"nin_shortcut": "conv_shortcut"}
ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
LAYOUT = ("temb.dense.0.weight", "conv_in.weight", "mid.attn_1.q.weight", "conv_out.weight")
PARTS = ("weight", "bias")


def read(state: Mapping[str, Tensor]) -> conversion.Network:
    """The `bench.mean.conversion.Network` of a state dict {key: tensor}, of any float dtype.

    Raises BenchError if the state dict is of another architecture, or keys are missing or
    unexpected.
    """
    options = config_of(state)
    images, outputs = options["in_channels"], options["out_channels"]
    if outputs != images:
        raise conversion.another(
            KIND, f"{outputs} output channels", f"{images} for {images} input channels"
        )
    unet = conversion.make_unet(options, heads=1)
    # The table has a shortcut for every block; the network only has those that change the width.
    expected = unet.state_dict()
    modules = {
        theirs: ours for theirs, ours in _modules(options).items() if f"{ours}.weight" in expected
    }
    second = _second(state)
    conversion.check_keys(KIND, state, {*modules, *second})
    conversion.fill(KIND, unet, _tensors(state, modules))
    return conversion.Network(unet, second=_tensors(state, second) or None)


def config_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options of a UNet2DModel that follow from the names and shapes of a state dict.

    Raises BenchError if the state dict has another layout, or blocks that a UNet2DModel cannot
    have.
    """
    conversion.check_layout(KIND, state, LAYOUT)
    width, images = conversion.shape(KIND, state, "conv_in.weight", 4)[:2]
    return {
        **conversion.level_options(KIND, _levels(state), width),
        "in_channels": images,
        "out_channels": conversion.shape(KIND, state, "conv_out.weight", 4)[0],
        "resnet_time_scale_shift": "default",
        "norm_eps": 1e-6,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "downsample_padding": 0,
    }


def _levels(state):
    """[[(channels, whether attention follows) per residual block] per level], on the way down."""
    blocks = {
        (int(found[1]), int(found[2]))
        for key in state
        if (found := re.match(r"down\.(\d+)\.block\.(\d+)\.", key))
    }
    levels = [[] for _ in range(1 + max((level for level, _ in blocks), default=0))]
    for level, block in sorted(blocks):
        channels = conversion.shape(KIND, state, f"down.{level}.block.{block}.conv1.weight", 4)[0]
        levels[level].append((channels, f"down.{level}.attn.{block}.q.weight" in state))
    return levels


def _modules(options):
    """{module of the state dict: module of UNet2DModel} for every module with weights."""
    levels, layers = len(options["block_out_channels"]), options["layers_per_block"]
    names = {
        "temb.dense.0": "time_embedding.linear_1",
        "temb.dense.1": "time_embedding.linear_2",
        "conv_in": "conv_in",
        "norm_out": "conv_norm_out",
        "conv_out": "conv_out",
        **_inside("mid.block_1", "mid_block.resnets.0", RESIDUAL),
        **_inside("mid.block_2", "mid_block.resnets.1", RESIDUAL),
        **_inside("mid.attn_1", "mid_block.attentions.0", ATTENTION),
    }
    for level, kind in enumerate(options["down_block_types"]):
        for theirs, ours, blocks in (
            (f"down.{level}", f"down_blocks.{level}", layers),
            (f"up.{level}", f"up_blocks.{levels - 1 - level}", layers + 1),
        ):
            for block in range(blocks):
                names |= _inside(
                    f"{theirs}.block.{block}", f"{ours}.resnets.{block}", RESIDUAL | SHORTCUT
                )
                if kind.startswith("Attn"):
                    names |= _inside(
                        f"{theirs}.attn.{block}", f"{ours}.attentions.{block}", ATTENTION
                    )
        if level < levels - 1:
            names[f"down.{level}.downsample.conv"] = f"down_blocks.{level}.downsamplers.0.conv"
        if level > 0:
            names[f"up.{level}.upsample.conv"] = f"up_blocks.{levels - 1 - level}.upsamplers.0.conv"
    return names


def _second(state):
    """{module of the state dict: module of a head} of the output trained on the network, or {}."""
    if not any(key.startswith(("norm_out2.", "conv_out2.", "before_out.")) for key in state):
        return {}
    block = (
        _inside("before_out", "block", RESIDUAL)
        if any(key.startswith("before_out.") for key in state)
        else {}
    )
    return {"norm_out2": "norm", "conv_out2": "conv", **block}


def _inside(theirs, ours, table):
    """The names of the modules in a block."""
    return {f"{theirs}.{inner}": f"{ours}.{name}" for inner, name in table.items()}


def _tensors(state, modules):
    """{key here: tensor} of the modules."""
    return {
        f"{ours}.{part}": state[f"{theirs}.{part}"].float()
        for theirs, ours in modules.items()
        for part in PARTS
    }
