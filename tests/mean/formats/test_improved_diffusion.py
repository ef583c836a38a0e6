"""State dicts of improved-diffusion's U-Net: the converted network computes what the names of the
keys mean.
"""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from bench import heads, schedule
from bench.data.dataset import Data
from bench.experiment import sections
from bench.mean import published, storage
from bench.mean.formats import improved_diffusion
from bench.mean.model import MeanModel, Trunk
from bench.runtime.errors import BenchError
from tests.helpers.unets import (
    both,
    changed,
    difference,
    improved_diffusion_state,
    pictures,
    without,
)

TIMES = torch.tensor([0.0, 0.25, 17.0, 501.75, 999.75])  # fractions are what N = 4000 asks for


def original(state, images, times, heads=4):
    """(outputs, second outputs or None, last hidden map) of the network `state`, from the names of
    its keys alone.
    """

    def weights(name):
        return state[f"{name}.weight"], state[f"{name}.bias"]

    def norm(name, h):
        return F.group_norm(h, 32, *weights(name), eps=1e-5)

    def residual(name, h, emb):
        inner = F.conv2d(
            F.silu(norm(f"{name}.in_layers.0", h)), *weights(f"{name}.in_layers.2"), padding=1
        )
        step = F.linear(F.silu(emb), *weights(f"{name}.emb_layers.1"))[:, :, None, None]
        width = inner.shape[1]
        if step.shape[1] == width:
            inner = norm(f"{name}.out_layers.0", inner + step)
        else:
            inner = norm(f"{name}.out_layers.0", inner) * (1 + step[:, :width]) + step[:, width:]
        inner = F.conv2d(F.silu(inner), *weights(f"{name}.out_layers.3"), padding=1)
        shortcut = f"{name}.skip_connection"
        return inner + (F.conv2d(h, *weights(shortcut)) if f"{shortcut}.weight" in state else h)

    def attend(name, h):
        qkv = F.conv1d(norm(f"{name}.norm", h).flatten(2), *weights(f"{name}.qkv"))
        of_heads = []
        for of_head in qkv.chunk(heads, dim=1):
            q, k, v = of_head.chunk(3, dim=1)
            weight = (q.transpose(1, 2) @ k / math.sqrt(q.shape[1])).softmax(
                dim=2
            )  # row: who looks; column: at whom
            of_heads.append(v @ weight.transpose(1, 2))
        return h + F.conv1d(torch.cat(of_heads, dim=1), *weights(f"{name}.proj_out")).reshape(
            h.shape
        )

    def block(name, h, emb):
        for part in (f"{name}.{position}" for position in range(3)):
            if f"{part}.in_layers.0.weight" in state:
                h = residual(part, h, emb)
            elif f"{part}.qkv.weight" in state:
                h = attend(part, h)
            elif f"{part}.op.weight" in state:
                h = F.conv2d(h, *weights(f"{part}.op"), stride=2, padding=1)
            elif f"{part}.conv.weight" in state:
                h = F.conv2d(
                    h.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3),
                    *weights(f"{part}.conv"),
                    padding=1,
                )
        return h

    def names(way):
        return [
            f"{way}.{index}"
            for index in range(len({key.split(".")[1] for key in state if key.startswith(way)}))
        ]

    half = state["time_embed.0.weight"].shape[1] // 2
    angles = times[:, None] * 10000 ** (-torch.arange(half) / half)
    emb = F.linear(torch.cat([angles.cos(), angles.sin()], dim=1), *weights("time_embed.0"))
    emb = F.linear(F.silu(emb), *weights("time_embed.2"))
    h = F.conv2d(images, *weights("input_blocks.0.0"), padding=1)
    kept = [h]
    for name in names("input_blocks")[1:]:
        h = block(name, h, emb)
        kept.append(h)
    h = block("middle_block", h, emb)
    for name in names("output_blocks"):
        h = block(name, torch.cat([h, kept.pop()], dim=1), emb)
    second = None
    if "out2.2.weight" in state:
        second = F.conv2d(F.silu(norm("out2.0", h)), *weights("out2.2"), padding=1)
    elif "out2.3.weight" in state:
        second = F.conv2d(
            F.silu(norm("out2.1", residual("out2.0", h, emb))), *weights("out2.3"), padding=1
        )
    return F.conv2d(F.silu(norm("out.0", h)), *weights("out.2"), padding=1), second, h


SHAPES = {
    "three outputs": {},
    "six outputs": {"outputs": 6},
    "shift only": {"scale_shift": False},
    "shift only, six outputs": {"scale_shift": False, "outputs": 6},
    "attention of two widths": {"attention": (0, 1)},
    "no attention but the middle": {"attention": ()},
    "three levels, two blocks": {"mult": (1, 3, 2), "blocks": 2, "attention": (0, 2), "outputs": 6},
    "one grey channel": {"images": 1, "outputs": 2},
    "simple head": {"second": "simple"},
    "complex head": {"second": "complex", "outputs": 6},
    "complex head, shift only": {"second": "complex", "scale_shift": False},
}


def agrees(state, images, times):
    """Outputs, last hidden map and second outputs of the converted network against the
    names' own.
    """
    expected, second, expected_hidden = original(state, images, times)
    network = improved_diffusion.read(state)
    found, features = both(network.unet, images, times)
    half = images.shape[1]
    assert difference(features.hidden, expected_hidden) < 1e-4
    assert difference(found, expected[:, :half]) < 1e-4
    came = {"variance": expected[:, half:] if expected.shape[1] > half else None, "second": second}
    for name, output in came.items():
        state = getattr(network, name)
        assert (state is None) == (output is None)
        if state is not None:
            assert (
                difference(
                    heads.imported(state, Trunk.of(network.unet))(features), output.flatten(1)
                )
                < 1e-4
            )


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_converted_network_computes_the_same(shape):
    agrees(improved_diffusion_state(**shape), pictures(channels=shape.get("images", 3)), TIMES)


# the networks of the papers, on images small enough to be quick: their last level has two pixels a
# side
PAPERS = {
    "cifar10": {"mult": (1, 2, 2, 2), "attention": (1, 2), "second": "simple"},
    "imagenet64": {"mult": (1, 2, 3, 4), "attention": (2, 3), "outputs": 6, "second": "complex"},
}


@pytest.mark.parametrize("shape", PAPERS.values(), ids=PAPERS)
def test_at_the_size_of_the_papers(shape):
    agrees(improved_diffusion_state(channels=128, blocks=3, **shape), pictures()[:2], TIMES[2:4])


@pytest.mark.parametrize(
    "shape, faint",
    [
        ({"attention": (0,)}, ("input_blocks.0.0", "input_blocks.1.0.out_layers.3")),
        (
            {"attention": (), "second": "complex"},
            (
                "output_blocks.3.0.out_layers.3",
                "output_blocks.3.0.skip_connection",
                "out2.0.in_layers.2",
                "out2.0.out_layers.3",
            ),
        ),
    ],
)
def test_faint_images_are_normalised_alike(shape, faint):
    """Where the variances are near the eps of the norms, 1e-5, another eps is another network."""
    state = improved_diffusion_state(**shape)
    for name in faint:
        state.update(
            {f"{name}.{part}": state[f"{name}.{part}"] * 3e-3 for part in ("weight", "bias")}
        )
    agrees(state, pictures(), TIMES)


def test_every_time_and_the_number_of_heads_count():
    """The equalities above would be worth little for a network that ignored its time or its
    attention.
    """
    state, images = improved_diffusion_state(attention=(0, 1)), pictures()
    unet = improved_diffusion.read(state).unet
    found = both(unet, images, TIMES)[0]
    assert difference(both(unet, images, TIMES + 0.25)[0], found) > 1e-3
    assert difference(both(improved_diffusion.read(state, 2).unet, images, TIMES)[0], found) > 1e-3
    two = original(state, images, TIMES, heads=2)[0]
    assert difference(both(improved_diffusion.read(state, 2).unet, images, TIMES)[0], two) < 1e-4


def test_a_saved_network_comes_back_with_its_heads(tmp_path):
    state, images = improved_diffusion_state(attention=(0, 1)), pictures()
    unet = improved_diffusion.read(state).unet
    storage.save(unet, "epsilon", tmp_path / "mean")
    loaded = storage.read_unet(tmp_path / "mean" / "unet")
    expected = original(state, images, TIMES)[0]
    assert difference(both(loaded, images, TIMES)[0], expected) < 1e-4


def test_the_mean_model_of_a_converted_network():
    """ε̂ at steps t = 1..1000 is the network at t − 1, and the features are those of the
    original.
    """
    state, images, t = (
        improved_diffusion_state(outputs=6),
        pictures(),
        torch.tensor([1, 2, 300, 999, 1000]),
    )
    unet = improved_diffusion.read(state).unet
    model = MeanModel(unet, "epsilon", schedule.make("linear", 1000), (3, 16, 16))
    eps_hat, features = model(images.flatten(1).double(), t)
    expected, _, hidden = original(state, images, t - 1)
    assert difference(eps_hat.float(), expected[:, :3].flatten(1)) < 1e-4
    assert difference(features.hidden, hidden) < 1e-4


def test_the_options_that_names_and_shapes_tell():
    options = improved_diffusion.config_of(
        improved_diffusion_state(
            mult=(1, 2, 3), blocks=2, attention=(1,), outputs=6, scale_shift=False
        )
    )
    assert options["block_out_channels"] == (32, 64, 96) and options["layers_per_block"] == 2
    assert options["down_block_types"] == ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D")
    assert options["up_block_types"] == ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D")
    assert (options["in_channels"], options["out_channels"]) == (3, 6)
    assert options["resnet_time_scale_shift"] == "default"


def test_half_precision_is_read():
    state = {key: tensor.half() for key, tensor in improved_diffusion_state().items()}
    unet = improved_diffusion.read(state).unet
    expected = original({key: tensor.float() for key, tensor in state.items()}, pictures(), TIMES)[
        0
    ]
    assert difference(both(unet, pictures(), TIMES)[0], expected) < 1e-4


@pytest.mark.parametrize(
    "change, message",
    [
        (
            without("middle_block.2.emb", "output_blocks.1.0.in_layers"),
            r"missing keys \(6\): middle_block.2.emb_layers.1.bias, "
            r"middle_block.2.emb_layers.1.weight, "
            "output_blocks.1.0.in_layers.0.bias, …; expected the",
        ),
        (
            changed("label_emb.weight", torch.zeros(10, 128)),
            r"unexpected keys \(1\): label_emb.weight; expected the",
        ),
        (
            lambda state: {f"unet.{key}": tensor for key, tensor in state.items()},
            "found the keys unet.time_embed.0.weight.*expected tensors named time_embed.0.weight",
        ),
        (
            without("input_blocks.2."),
            "found no input_blocks.2.0.in_layers.2.weight; expected residual "
            "blocks, and convolutions",
        ),
        (
            without("input_blocks.3."),
            r"found \[1, 0\] residual blocks on the way down; expected one or more in every level",
        ),
        (
            changed("input_blocks.1.1.qkv.weight", torch.zeros(1)),
            r"missing keys \(\d+\): input_blocks.1.1.norm.bias",
        ),
        (
            changed("out.2.weight", torch.zeros(5, 32, 3, 3)),
            "found 5 output channels; expected 3 or 6",
        ),
        (
            changed("time_embed.2.weight", torch.zeros(96, 128)),
            r"found \(96, 128\) for time_embedding.linear_2.weight; expected",
        ),
        (
            changed("middle_block.1.qkv.weight", torch.zeros(192, 64, 3)),
            r"found \(64, 64, 3\) for mid_block.attentions.0.to_q",
        ),
        (
            changed("middle_block.1.qkv.weight", torch.zeros(190, 64, 1)),
            "found a qkv.weight of 190 channels; expected a multiple",
        ),
    ],
)
def test_another_state_dict_is_refused_in_one_line(change, message):
    with pytest.raises(BenchError, match=message) as error:
        improved_diffusion.read(change(improved_diffusion_state()))
    assert "\n" not in str(error.value)


def test_a_number_of_heads_that_does_not_divide_is_refused():
    with pytest.raises(
        BenchError,
        match="64 channels; expected a number of attention heads that divides them, found 5",
    ):
        improved_diffusion.read(improved_diffusion_state(), 5)


def imported(tmp_path, state, **options):
    """The mean model of a checkpoint file, through what `bench mean` writes, for a chain of 4000
    steps.
    """
    torch.save(state, tmp_path / "model.pt")
    made = schedule.make("cosine", 4000)
    section = sections.PublishedSection(
        format="improved_diffusion", path=str(tmp_path / "model.pt"), **options
    )
    storage.save(folder=tmp_path / "mean", **published.read(section))
    images = np.zeros((4, 3, 16, 16), dtype=np.uint8)
    return storage.load(tmp_path / "mean", made, Data("none", images, images, 256, None, None, ""))


@pytest.mark.parametrize(
    "options, told",
    [
        ({}, lambda t: (t - 1) / 4),
        ({"first_timestep": 1}, lambda t: t / 4),
        ({"rescale_timesteps": False}, lambda t: t - 1),
    ],
)
def test_an_imported_file_gives_both_halves(tmp_path, options, told):
    """ε̂ and the variance half as the imported head improved_ddpm, at the timesteps that the
    network was told.
    """
    state, images, t = (
        improved_diffusion_state(outputs=6, mult=(1, 3)),
        pictures(),
        torch.tensor([1, 40, 700, 2001, 4000]),
    )
    model = imported(tmp_path, state, **options)
    eps_hat, features = model(images.flatten(1).double(), t)
    expected = original(state, images, told(t))[0]
    assert difference(eps_hat.float(), expected[:, :3].flatten(1)) < 1e-4
    section = sections.HeadsSection(targets={"improved_ddpm": "imported"})
    found, log = heads.train(model, None, None, section, ("none",), None)
    heads.save(found, log, tmp_path / "heads")
    output = heads.outputs(heads.load(tmp_path / "heads", model, ["improved_ddpm"]), features)[
        "improved_ddpm"
    ]
    assert log == [] and difference(output.float(), expected[:, 3:].flatten(1)) < 1e-4


def test_a_head_that_did_not_come_is_told(tmp_path):
    model = imported(tmp_path, improved_diffusion_state())
    with pytest.raises(
        BenchError, match="heads.targets.npr: imported, but the mean model came with no heads"
    ):
        heads.train(
            model, None, None, sections.HeadsSection(targets={"npr": "imported"}), ("none",), None
        )
    with pytest.raises(
        BenchError, match="improved_ddpm: imported, but the mean model came with no heads"
    ):
        heads.train(
            model,
            None,
            None,
            sections.HeadsSection(targets={"improved_ddpm": "imported"}),
            ("none",),
            None,
        )
