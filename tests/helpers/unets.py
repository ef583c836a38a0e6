"""State dicts of U-Nets, images for them, and how far two outputs are apart."""

import math

import torch

from bench.mean.model import Features


def improved_diffusion_state(
    channels=32,
    mult=(1, 2),
    blocks=1,
    attention=(1,),
    outputs=3,
    scale_shift=True,
    images=3,
    second=None,
):
    """A state dict with random values in every weight; `attention`: the levels that have it;
    `second`: mode of a head.
    """
    state = {}
    generator = torch.Generator().manual_seed(0)

    def layer(name, out, *inputs):
        state[f"{name}.weight"] = torch.randn(out, *inputs, generator=generator) / math.sqrt(
            math.prod(inputs)
        )
        state[f"{name}.bias"] = 0.3 * torch.randn(out, generator=generator)

    def norm(name, width):
        state[f"{name}.weight"] = 1 + 0.3 * torch.randn(width, generator=generator)
        state[f"{name}.bias"] = 0.3 * torch.randn(width, generator=generator)

    def residual(name, inputs, out):
        norm(f"{name}.in_layers.0", inputs)
        layer(f"{name}.in_layers.2", out, inputs, 3, 3)
        layer(f"{name}.emb_layers.1", out * (1 + scale_shift), 4 * channels)
        norm(f"{name}.out_layers.0", out)
        layer(f"{name}.out_layers.3", out, out, 3, 3)
        if inputs != out:
            layer(f"{name}.skip_connection", out, inputs, 1, 1)

    def attend(name, width):
        norm(f"{name}.norm", width)
        layer(f"{name}.qkv", 3 * width, width, 1)
        layer(f"{name}.proj_out", width, width, 1)

    layer("time_embed.0", 4 * channels, channels)
    layer("time_embed.2", 4 * channels, 4 * channels)
    layer("input_blocks.0.0", channels, images, 3, 3)
    skips, width, index = [channels], channels, 1
    for level, factor in enumerate(mult):
        for _ in range(blocks):
            residual(f"input_blocks.{index}.0", width, factor * channels)
            width = factor * channels
            if level in attention:
                attend(f"input_blocks.{index}.1", width)
            skips, index = [*skips, width], index + 1
        if level < len(mult) - 1:
            layer(f"input_blocks.{index}.0.op", width, width, 3, 3)
            skips, index = [*skips, width], index + 1
    residual("middle_block.0", width, width)
    attend("middle_block.1", width)
    residual("middle_block.2", width, width)
    index = 0
    for level in reversed(range(len(mult))):
        for block in range(blocks + 1):
            residual(f"output_blocks.{index}.0", width + skips.pop(), mult[level] * channels)
            width = mult[level] * channels
            if level in attention:
                attend(f"output_blocks.{index}.1", width)
            if level and block == blocks:
                layer(f"output_blocks.{index}.{1 + (level in attention)}.conv", width, width, 3, 3)
            index += 1
    norm("out.0", channels)
    layer("out.2", outputs, channels, 3, 3)
    if second == "complex":
        residual("out2.0", channels, channels)
    if second:
        norm("out2.1" if second == "complex" else "out2.0", channels)
        layer("out2.3" if second == "complex" else "out2.2", images, channels, 3, 3)
    return state


def pictures(size=16, channels=3, count=5):
    """Images (count, channels, size, size) of Gaussian noise."""
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def both(unet, images, times):
    """(outputs, `Features`) of a UNet2DModel."""
    seen = {}
    hooks = [
        unet.conv_norm_out.register_forward_pre_hook(
            lambda module, args: seen.update(hidden=args[0])
        ),
        unet.time_embedding.register_forward_hook(lambda module, args, out: seen.update(time=out)),
    ]
    with torch.no_grad():
        output = unet(images, times, return_dict=False)[0]
    for hook in hooks:
        hook.remove()
    return output, Features(**seen)


def difference(found, expected):
    """The largest difference relative to the largest value."""
    return ((found - expected).abs().max() / expected.abs().max()).item()


def without(*keys):
    return lambda state: {key: tensor for key, tensor in state.items() if not key.startswith(keys)}


def changed(key, tensor):
    return lambda state: {**state, key: tensor}
