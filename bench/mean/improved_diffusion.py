"""Makes a diffusers.UNet2DModel of a state dict in the key layout of OpenAI's improved-diffusion U-Net.

The two networks compute the same function, so that a conversion is a list of names. R is the number of residual
blocks a level; `input_blocks.0` is the first convolution, after it every level of the way down has R blocks and,
except the last level, a block with `op`; the way up has R + 1 blocks a level, the last level first.

    improved-diffusion                                 UNet2DModel
    time_embed.0, .2                                   time_embedding.linear_1, .linear_2
    input_blocks.0.0                                   conv_in
    input_blocks.i.0, .1 (attention)                   down_blocks.level.resnets.j, .attentions.j
    input_blocks.i.0.op                                down_blocks.level.downsamplers.0.conv
    middle_block.0, .1 (attention), .2                 mid_block.resnets.0, .attentions.0, .resnets.1
    output_blocks.i.0, .1 (attention)                  up_blocks.level.resnets.j, .attentions.j
    output_blocks.i.1.conv, or .2.conv after attention up_blocks.level.upsamplers.0.conv
    out.0, .2                                          conv_norm_out, conv_out
    in a residual block: in_layers.0, .2               norm1, conv1
                         emb_layers.1                  time_emb_proj (scale first, then shift)
                         out_layers.0, .3              norm2, conv2
                         skip_connection               conv_shortcut, where the width changes
    in an attention:     norm, qkv, proj_out           group_norm, to_q + to_k + to_v, to_out.0

The output channels of `qkv` are ordered by head, [q of head 1, k of head 1, v of head 1, q of head 2, …]. Every
attention has the same number of heads, which no shape tells, so that heads are wider where a level is. UNet2DModel
knows only one width for all: `set_heads` corrects it, and has to be called again on a network that was saved and
loaded (its config keeps the number as `_attention_heads`).

A network with twice as many output channels as input channels predicts ε in the first half and a variance in the
second. The timestep of both networks is a number that may be a fraction, and what a step t = 1..N is told as depends on
the training: (t − 1)·1000/N in the original repository, t·1000/N for the CIFAR-10 networks of Extended-Analytic-DPM.

Sources: github.com/openai/improved-diffusion, improved_diffusion/{unet,nn,gaussian_diffusion,respace}.py, and
github.com/baofff/Extended-Analytic-DPM, core/diffusion/wrapper.py (`rescale_timesteps`, `shift1`) and configs/.
"""

import hashlib
import math
import re
from pathlib import Path

import torch

from bench import files, torchvision_ops
from bench.errors import BenchError
from bench.mean import check_channels

GROUPS = 32  # of every normalisation; neither this nor eps can be read from shapes
RESIDUAL = {"in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
            "out_layers.3": "conv2", "skip_connection": "conv_shortcut"}
ATTENTION = {"norm": "group_norm", "proj_out": "to_out.0"}
QKV = ("to_q", "to_k", "to_v")
LAYOUT = ("time_embed.0.weight", "input_blocks.0.0.weight", "middle_block.1.qkv.weight", "out.2.weight")


def read(section, N, shape):
    """What `bench.mean.save` keeps of the checkpoint of a `sections.ImprovedDiffusionSection`, as a dict of its arguments.

    N: steps of the chain; shape: (channels, height, width) of the data. Raises BenchError where the file is missing, no
    checkpoint of this layout, or for images of other channels. Nothing but tensors is read of it.
    """
    path = Path(section.path)
    remedy = "expected a .pt file of an improved-diffusion U-Net, as torch.save writes its state dict"
    with files.reading(path, f"mean.improved_diffusion.path: {remedy}"):
        state = torch.load(path, map_location="cpu", weights_only=True)
    try:
        unet, variance = convert(state, section.attention_heads)
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from error
    check_channels(unet, shape, path)
    return {"unet": unet, "prediction_type": "epsilon", "variance": variance, "source": str(path),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "log": [],
            "timesteps": {"first_timestep": section.first_timestep, "scale": 1000 / N if section.rescale_timesteps else 1}}


def convert(state, heads=4):
    """(network, variance half) of a state dict: a UNet2DModel, and (weight, bias) of its last convolution or None.

    state: {key: tensor}, of any float dtype; heads: number of heads of every attention. The network is in fp32 and in
    evaluation mode, and predicts as many channels as it reads. The variance half, for a network with twice as many
    outputs, is a 3×3 convolution of padding 1 from what `conv_out` reads to the other outputs.
    Raises BenchError where the state dict is of another architecture, keys are missing or unexpected, or `heads`
    does not divide the channels.
    """
    torchvision_ops.declare()
    from diffusers.models.unets.unet_2d import UNet2DModel

    options = config_of(state)
    images, outputs = options["in_channels"], options.pop("out_channels")
    if outputs not in (images, 2 * images):
        raise _another(f"{outputs} output channels", f"{images} or {2 * images}, as it reads {images}")
    unet = UNet2DModel(**options, out_channels=images)
    set_heads(unet, heads)
    expected = unet.state_dict()
    # The block table has an entry for every shortcut, the network only those where the width changes.
    modules = {theirs: ours for theirs, ours in _modules(options).items() if f"{ours.split('+')[0]}.weight" in expected}
    _check_keys(state, {f"{theirs}.{part}" for theirs in modules for part in ("weight", "bias")})
    found = {}
    for theirs, ours in modules.items():
        for part in ("weight", "bias"):
            found.update(_tensors(state[f"{theirs}.{part}"].float(), ours, part, heads))
    last = {part: found[f"conv_out.{part}"] for part in ("weight", "bias")}
    found.update({f"conv_out.{part}": tensor[:images] for part, tensor in last.items()})
    _load(unet, found)
    variance = tuple(tensor[images:].clone() for tensor in last.values()) if outputs > images else None
    return unet.eval(), variance


def set_heads(unet, heads):
    """Gives every attention of a UNet2DModel `heads` heads, and notes the number in its config as `_attention_heads`.

    The note is saved with the network. BenchError where the channels of an attention are not divisible.
    """
    from diffusers.models.attention_processor import Attention

    attentions = {name: module for name, module in unet.named_modules() if isinstance(module, Attention)}
    for name, module in attentions.items():
        if heads < 1 or module.inner_dim % heads:
            raise BenchError(f"{name}: {module.inner_dim} channels in {heads} heads; expected a number that divides them")
        module.heads = module.sliceable_head_dim = heads
        module.scale = (module.inner_dim // heads) ** -0.5
    # A common divisor of the widths makes layers of the right sizes, and is the width itself where there is one for all.
    # diffusers keeps names that begin with an underscore, and warns of other names that it does not know.
    width = math.gcd(*(module.inner_dim // heads for module in attentions.values()))
    unet.register_to_config(attention_head_dim=width, _attention_heads=heads)


def config_of(state):
    """The options of a UNet2DModel that the names and shapes of a state dict tell.

    `out_channels` is as in the state dict, the variance half included. Raises BenchError where the state dict has
    another layout, or blocks that a UNet2DModel cannot have.
    """
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())) or not set(LAYOUT) <= set(state):
        found = f"the keys {', '.join(map(str, list(state)[:3]))}, …" if isinstance(state, dict) else f"a {type(state).__name__}"
        raise _another(found, f"tensors named {', '.join(LAYOUT)}, …")
    width, read = _shape(state, "input_blocks.0.0.weight", 4)[:2]
    levels = _levels(state)
    if len({len(level) for level in levels}) > 1:
        raise _another(f"{[len(level) for level in levels]} residual blocks on the way down", "the same number in every level")
    if any(len(set(level)) > 1 for level in levels) or levels[0][0][0] != width:
        raise _another(f"(channels, attention) of {levels} on the way down",
                       f"the same in all blocks of a level, and {width} channels in the first")
    channels, attention = zip(*(level[0] for level in levels), strict=True)
    emb_channels = _shape(state, "input_blocks.1.0.emb_layers.1.weight", 2)[0]
    return {
        "in_channels": read, "out_channels": _shape(state, "out.2.weight", 4)[0], "block_out_channels": channels,
        "layers_per_block": len(levels[0]),
        "down_block_types": tuple("AttnDownBlock2D" if there else "DownBlock2D" for there in attention),
        "up_block_types": tuple("AttnUpBlock2D" if there else "UpBlock2D" for there in reversed(attention)),
        "resnet_time_scale_shift": "scale_shift" if emb_channels == 2 * width else "default",
        "norm_num_groups": GROUPS, "attn_norm_num_groups": GROUPS, "norm_eps": 1e-5,
        "flip_sin_to_cos": True, "freq_shift": 0, "downsample_padding": 1, "attention_head_dim": GROUPS,
    }


def _levels(state):
    """[[(channels, whether attention follows) of every residual block] of every level], on the way down."""
    # The last index, not the first gap: a network that shrinks by pooling, without weights, is refused for its gaps.
    indices = [int(found[1]) for key in state if (found := re.match(r"input_blocks\.(\d+)\.", str(key)))]
    levels = [[]]
    for block in (f"input_blocks.{index}" for index in range(1, max(indices) + 1)):
        if f"{block}.0.op.weight" in state:
            levels.append([])
        else:
            levels[-1].append((_shape(state, f"{block}.0.in_layers.2.weight", 4)[0], f"{block}.1.qkv.weight" in state))
    if [] in levels:
        raise _another(f"{[len(level) for level in levels]} residual blocks on the way down", "one or more in every level")
    if any(channels % GROUPS for level in levels for channels, _ in level):
        raise _another(f"levels of {[level[0][0] for level in levels]} channels", f"multiples of the {GROUPS} groups")
    return levels


def _shape(state, key, dimensions):
    """The shape of a tensor of the state dict. BenchError where it is missing or has other dimensions."""
    if key not in state:
        raise _another(f"no {key}", "residual blocks, and convolutions of stride 2 between levels")
    shape = tuple(state[key].shape)
    if len(shape) != dimensions:
        raise _another(f"{key} of shape {shape}", f"{dimensions} dimensions")
    return shape


def _modules(options):
    """{module of the state dict: module of UNet2DModel} for every module with weights; `qkv` has three, joined by +."""
    layers = options["layers_per_block"]
    names = {"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
             "input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out",
             **_residual("middle_block.0", "mid_block.resnets.0"), **_attention("middle_block.1", "mid_block.attentions.0"),
             **_residual("middle_block.2", "mid_block.resnets.1")}
    for way, ours, types, blocks in (("input_blocks", "down_blocks", options["down_block_types"], layers),
                                     ("output_blocks", "up_blocks", options["up_block_types"], layers + 1)):
        # The way down counts the first convolution, and a level's convolution of stride 2 is a block of its own.
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
    return {f"{theirs}.qkv": "+".join(f"{ours}.{name}" for name in QKV),
            **{f"{theirs}.{inner}": f"{ours}.{name}" for inner, name in ATTENTION.items()}}


def _tensors(tensor, ours, part, heads):
    """{key in UNet2DModel: tensor} of one weight or bias; `qkv` makes three, in which the channels of a head stay together."""
    names = ours.split("+")
    # what is a convolution of width 1 over positions here is a linear layer there
    tensor = tensor.squeeze(-1) if tensor.dim() == 3 else tensor
    if len(names) == 1:
        return {f"{ours}.{part}": tensor}
    if len(tensor) % (3 * heads):
        raise _another(f"a qkv.{part} of {len(tensor)} channels", f"a multiple of 3·{heads}, for q, k and v of {heads} heads")
    by_head = tensor.reshape(heads, 3, len(tensor) // (3 * heads), *tensor.shape[1:])
    return {f"{name}.{part}": by_head[:, which].flatten(0, 1) for which, name in enumerate(names)}


def _check_keys(state, expected):
    """BenchError unless the state dict has the expected keys and no others."""
    for what, keys in (("missing", expected - set(state)), ("unexpected", set(state) - expected)):
        if keys:
            first = ", ".join(sorted(map(str, keys))[:3])
            raise BenchError(f"improved-diffusion U-Net: {what} keys ({len(keys)}): {first}{', …' if len(keys) > 3 else ''}; "
                             f"expected the {len(expected)} keys of an unconditional network")


def _load(unet, found):
    """Puts the tensors into the network. BenchError for the first that has another shape."""
    for name, there in unet.state_dict().items():
        if found[name].shape != there.shape:
            raise _another(f"{tuple(found[name].shape)} for {name}", f"{tuple(there.shape)}")
    unet.load_state_dict(found)


def _another(found, expected):
    """A BenchError for a state dict of another architecture."""
    return BenchError(f"not a state dict of improved-diffusion's U-Net: found {found}; expected {expected}")
