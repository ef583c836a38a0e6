"""State dicts of pytorch_diffusion's U-Net: the converted network computes what the names of the
keys mean.
"""

import math

import pytest
import torch
from torch.nn import functional as F

from bench import heads
from bench.mean.formats import pytorch_diffusion
from bench.mean.model import Trunk
from bench.runtime.errors import BenchError
from tests.helpers.unets import both, changed, difference, pictures, without

TIMES = torch.tensor([0.0, 1.0, 17.0, 500.0, 999.0])


def random_state(channels=32, mult=(1, 2), blocks=1, attention=(1,), images=3, second=None):
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
        norm(f"{name}.norm1", inputs)
        layer(f"{name}.conv1", out, inputs, 3, 3)
        layer(f"{name}.temb_proj", out, 4 * channels)
        norm(f"{name}.norm2", out)
        layer(f"{name}.conv2", out, out, 3, 3)
        if inputs != out:
            layer(f"{name}.nin_shortcut", out, inputs, 1, 1)

    def attend(name, width):
        norm(f"{name}.norm", width)
        for part in ("q", "k", "v", "proj_out"):
            layer(f"{name}.{part}", width, width, 1, 1)

    layer("temb.dense.0", 4 * channels, channels)
    layer("temb.dense.1", 4 * channels, 4 * channels)
    layer("conv_in", channels, images, 3, 3)
    skips, width = [channels], channels
    for level, factor in enumerate(mult):
        for block in range(blocks):
            residual(f"down.{level}.block.{block}", width, factor * channels)
            width = factor * channels
            if level in attention:
                attend(f"down.{level}.attn.{block}", width)
            skips.append(width)
        if level < len(mult) - 1:
            layer(f"down.{level}.downsample.conv", width, width, 3, 3)
            skips.append(width)
    residual("mid.block_1", width, width)
    attend("mid.attn_1", width)
    residual("mid.block_2", width, width)
    for level in reversed(range(len(mult))):
        for block in range(blocks + 1):
            residual(f"up.{level}.block.{block}", width + skips.pop(), mult[level] * channels)
            width = mult[level] * channels
            if level in attention:
                attend(f"up.{level}.attn.{block}", width)
        if level:
            layer(f"up.{level}.upsample.conv", width, width, 3, 3)
    norm("norm_out", channels)
    layer("conv_out", images, channels, 3, 3)
    if second == "complex":
        residual("before_out", channels, channels)
    if second:
        norm("norm_out2", channels)
        layer("conv_out2", images, channels, 3, 3)
    return state


def original(state, images, times):
    """(outputs, second outputs or None, last hidden map) of the network `state`, from the names of
    its keys alone.
    """

    def weights(name):
        return state[f"{name}.weight"], state[f"{name}.bias"]

    def norm(name, h):
        return F.group_norm(h, 32, *weights(name), eps=1e-6)

    def residual(name, h, emb):
        inner = F.conv2d(F.silu(norm(f"{name}.norm1", h)), *weights(f"{name}.conv1"), padding=1)
        inner = inner + F.linear(F.silu(emb), *weights(f"{name}.temb_proj"))[:, :, None, None]
        inner = F.conv2d(F.silu(norm(f"{name}.norm2", inner)), *weights(f"{name}.conv2"), padding=1)
        shortcut = f"{name}.nin_shortcut"
        return inner + (F.conv2d(h, *weights(shortcut)) if f"{shortcut}.weight" in state else h)

    def attend(name, h):
        if f"{name}.q.weight" not in state:
            return h
        q, k, v = (
            F.conv2d(norm(f"{name}.norm", h), *weights(f"{name}.{part}")).flatten(2)
            for part in "qkv"
        )
        weight = torch.einsum("bcq,bck->bqk", q, k).div(math.sqrt(q.shape[1])).softmax(dim=2)
        seen = torch.einsum("bqk,bck->bcq", weight, v).reshape(h.shape)
        return h + F.conv2d(seen, *weights(f"{name}.proj_out"))

    def count(pattern):
        return next(index for index in range(100) if f"{pattern.format(index)}.weight" not in state)

    half = state["temb.dense.0.weight"].shape[1] // 2
    angles = times[:, None] * 10000 ** (-torch.arange(half) / (half - 1))
    emb = F.linear(torch.cat([angles.sin(), angles.cos()], dim=1), *weights("temb.dense.0"))
    emb = F.linear(F.silu(emb), *weights("temb.dense.1"))
    levels = count("down.{}.block.0.conv1")
    kept = [F.conv2d(images, *weights("conv_in"), padding=1)]
    for level in range(levels):
        for block in range(count(f"down.{level}.block.{{}}.conv1")):
            kept.append(
                attend(
                    f"down.{level}.attn.{block}",
                    residual(f"down.{level}.block.{block}", kept[-1], emb),
                )
            )
        if level < levels - 1:
            below = torch.zeros(*kept[-1].shape[:2], kept[-1].shape[2] + 1, kept[-1].shape[3] + 1)
            below[:, :, :-1, :-1] = kept[-1]  # the zeros are at the right and the bottom
            kept.append(F.conv2d(below, *weights(f"down.{level}.downsample.conv"), stride=2))
    h = residual("mid.block_2", attend("mid.attn_1", residual("mid.block_1", kept[-1], emb)), emb)
    for level in reversed(range(levels)):
        for block in range(count(f"up.{level}.block.{{}}.conv1")):
            h = residual(f"up.{level}.block.{block}", torch.cat([h, kept.pop()], dim=1), emb)
            h = attend(f"up.{level}.attn.{block}", h)
        if level:
            h = h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            h = F.conv2d(h, *weights(f"up.{level}.upsample.conv"), padding=1)
    second = None
    if "conv_out2.weight" in state:
        before = residual("before_out", h, emb) if "before_out.conv1.weight" in state else h
        second = F.conv2d(F.silu(norm("norm_out2", before)), *weights("conv_out2"), padding=1)
    return F.conv2d(F.silu(norm("norm_out", h)), *weights("conv_out"), padding=1), second, h


SHAPES = {
    "one block a level": {},
    "attention of two widths": {"attention": (0, 1)},
    "no attention but the middle": {"attention": ()},
    "three levels, two blocks": {"mult": (1, 3, 2), "blocks": 2, "attention": (1,)},
    "a level as wide as the last": {"mult": (1, 1, 2), "attention": (2,)},
    "one grey channel": {"images": 1},
    "simple head": {"second": "simple"},
    "complex head": {"second": "complex", "mult": (1, 2, 2)},
}


def agrees(state, images, times):
    """Outputs, last hidden map and second outputs of the converted network against the
    names' own.
    """
    expected, second, expected_hidden = original(state, images, times)
    network = pytorch_diffusion.read(state)
    found, features = both(network.unet, images, times)
    assert difference(features.hidden, expected_hidden) < 1e-4
    assert difference(found, expected) < 1e-4
    assert (network.second is None) == (second is None) and network.variance is None
    if second is not None:
        head = heads.imported(network.second, Trunk.of(network.unet))
        assert difference(head(features), second.flatten(1)) < 1e-4


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_converted_network_computes_the_same(shape):
    agrees(random_state(**shape), pictures(channels=shape.get("images", 3)), TIMES)


# the networks of the papers, on images small enough to be quick: their last level has one or two
# pixels
PAPERS = {
    "cifar10": ({"mult": (1, 2, 2, 2), "attention": (1,), "second": "simple"}, 16),
    "celeba64": ({"mult": (1, 2, 2, 2, 4), "attention": (2,), "second": "simple"}, 16),
    "lsun_bedroom": ({"mult": (1, 1, 2, 2, 4, 4), "attention": (4,), "second": "complex"}, 32),
}


@pytest.mark.parametrize("shape, size", PAPERS.values(), ids=PAPERS)
def test_at_the_size_of_the_papers(shape, size):
    agrees(random_state(channels=128, blocks=2, **shape), pictures(size)[:2], TIMES[3:])


def test_faint_images_are_normalised_alike():
    """Where the variances are near the eps of the norms, 1e-6, another eps is another network."""
    state = random_state(attention=(0,), second="complex")
    for name in (
        "conv_in",
        "down.0.block.0.conv2",
        "up.0.block.1.conv2",
        "up.0.block.1.nin_shortcut",
        "before_out.conv2",
    ):
        state.update(
            {f"{name}.{part}": state[f"{name}.{part}"] * 1e-3 for part in ("weight", "bias")}
        )
    agrees(state, pictures(), TIMES)


def test_every_time_and_the_way_of_padding_count():
    """The equalities above would be worth little for a network that ignored its time, or shrank
    alike on all sides.
    """
    state, images = random_state(), pictures()
    unet = pytorch_diffusion.read(state).unet
    found = both(unet, images, TIMES)[0]
    assert difference(both(unet, images, TIMES + 1)[0], found) > 1e-3
    assert (
        difference(both(unet, images.flip(2), TIMES)[0], original(state, images.flip(2), TIMES)[0])
        < 1e-4
    )


def test_half_precision_is_read():
    state = {key: tensor.half() for key, tensor in random_state(second="simple").items()}
    network = pytorch_diffusion.read(state)
    assert network.second["conv.weight"].dtype == torch.float32
    expected = original({key: tensor.float() for key, tensor in state.items()}, pictures(), TIMES)[
        0
    ]
    assert difference(both(network.unet, pictures(), TIMES)[0], expected) < 1e-4


def test_the_options_that_names_and_shapes_tell():
    options = pytorch_diffusion.config_of(random_state(mult=(1, 2, 3), blocks=2, attention=(1,)))
    assert options["block_out_channels"] == (32, 64, 96) and options["layers_per_block"] == 2
    assert options["down_block_types"] == ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D")
    assert options["up_block_types"] == ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D")


@pytest.mark.parametrize(
    "change, message",
    [
        (
            without("mid.block_2.temb", "up.1.block.0.norm1"),
            r"pytorch_diffusion U-Net: missing keys \(4\): "
            r"mid.block_2.temb_proj.bias, mid.block_2.temb_proj.weight, "
            "up.1.block.0.norm1.bias, …; expected the",
        ),
        (changed("logvar", torch.zeros(1000)), r"unexpected keys \(1\): logvar; expected the"),
        (
            lambda state: {f"unet.{key}": tensor for key, tensor in state.items()},
            "found the keys unet.temb.dense.0.weight.*expected tensors named temb.dense.0.weight",
        ),
        (
            without("down.0.downsample"),
            r"missing keys \(2\): down.0.downsample.conv.bias, down.0.downsample.conv.weight",
        ),
        (
            without("down."),
            r"found \[0\] residual blocks on the way down; expected one or more in every level",
        ),
        (
            without("down.0.block"),
            r"found \[0, 1\] residual blocks on the way down; expected one or more in every level",
        ),
        (
            without("down.1.block.0.conv1"),
            "found no down.1.block.0.conv1.weight; expected residual blocks",
        ),
        (without("norm_out2"), r"missing keys \(2\): norm_out2.bias, norm_out2.weight"),
        (
            without("before_out.norm1"),
            r"missing keys \(2\): before_out.norm1.bias, before_out.norm1.weight",
        ),
        (
            changed("conv_in.weight", torch.zeros(32)),
            r"found conv_in.weight of shape \(32,\); expected 4 dimensions",
        ),
        (
            changed("conv_out.weight", torch.zeros(6, 32, 3, 3)),
            "found 6 output channels; expected 3 for 3 input channels",
        ),
        (
            changed("temb.dense.1.weight", torch.zeros(96, 128)),
            r"found \(96, 128\) for time_embedding.linear_2.weight; expected",
        ),
        (
            changed("mid.attn_1.q.weight", torch.zeros(64, 64, 3, 3)),
            r"found \(64, 64, 3, 3\) for mid_block.attentions.0.to_q",
        ),
    ],
)
def test_another_state_dict_is_refused_in_one_line(change, message):
    with pytest.raises(BenchError, match=message) as error:
        pytorch_diffusion.read(change(random_state(second="complex")))
    assert "\n" not in str(error.value)
