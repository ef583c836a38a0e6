"""Published files: what they hold, their checksums, the heads that come with them, and the way into
a setting.
"""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import cli, heads, schedule
from bench.data.dataset import Data
from bench.experiment import loading, sections
from bench.mean import checkpoint, published, storage
from bench.runtime import files
from bench.runtime.errors import BenchError
from bench.stages import networks
from tests.helpers.runs import ROOT
from tests.helpers.unets import both, difference, improved_diffusion_state, pictures, without
from tests.mean.formats import test_improved_diffusion as improved
from tests.mean.formats import test_pytorch_diffusion as ddim

MADE = schedule.make("linear", 1000)
STEPS = torch.tensor([1, 2, 300, 999, 1000])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def section(path="model.pth", **options):
    return loading.published({"format": "pytorch_diffusion", "path": path, **options})


def save(state, path="model.pth", **how):
    torch.save(state, path, **how)
    return state


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def loaded(folder, made=MADE):
    images = np.zeros((4, 3, 16, 16), dtype=np.uint8)
    return storage.load(folder, made, Data("none", images, images, 256, None, None, ""))


def ddim_list(state, average):
    """What DDIM's training saves: the model as DataParallel names it, the optimizer, epoch, step,
    and the average.
    """
    optimizer = {
        "state": {0: {"step": 7, "exp_avg": torch.zeros(3)}},
        "param_groups": [{"lr": 2e-4, "params": [0]}],
    }
    return [
        {f"module.{key}": tensor for key, tensor in state.items()},
        optimizer,
        3,
        7,
        *([average] if average else []),
    ]


FORMS = {
    "state dict": lambda state, other: state,
    "as a parallel model names it": lambda state, other: {
        f"module.{key}": tensor for key, tensor in state.items()
    },
    "DDIM's list": lambda state, other: ddim_list(other, state),
    "DDIM's list without an average": lambda state, other: ddim_list(state, None),
    "Analytic-DPM's mapping": lambda state, other: {
        "it": 7,
        "best_val_loss": None,
        "models_states": {"eps_model": other},
        "ema_models_states": {"eps_model": state},
    },
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_weights_that_are_sampled_with_are_taken(form, zipped):
    """Of both of torch's formats: zip since 1.6, before it a row of pickles, in which the files of
    2020 are.
    """
    state = ddim.random_state()
    other = {key: tensor + 1 for key, tensor in state.items()}
    save(form(state, other), _use_new_zipfile_serialization=zipped)
    found = published.read(section())
    expected = ddim.original(state, pictures(), ddim.TIMES)[0]
    assert difference(both(found["unet"], pictures(), ddim.TIMES)[0], expected) < 1e-4


def with_head(mode, drift=0.0, seed=1, **shape):
    """(trunk, the file of a head on it): state dicts, the trunk of the second off by a relative
    `drift`.
    """
    both = ddim.random_state(second=mode, **shape)
    generator = torch.Generator().manual_seed(seed)
    second = [key for key in both if key.startswith(("norm_out2", "conv_out2", "before_out"))]
    trunk = {key: tensor for key, tensor in both.items() if key not in second}
    for key in trunk:
        both[key] = trunk[key] * (
            1 + drift * (2 * torch.rand(trunk[key].shape, generator=generator) - 1)
        )
    return trunk, both


@pytest.mark.parametrize("through", ["stage", "import"])
def test_heads_come_with_the_mean_model(through, capsys):
    """NPR and OCM simple and SN complex, of files of their own.

    Imported straight, or by way of a folder for mean.checkpoint.
    """
    trunk, npr = with_head("simple", drift=1e-3)
    _, sn = with_head("complex")
    _, ocm = with_head("simple", seed=2)
    for name, state in (("model", trunk), ("npr", npr), ("sn", sn), ("ocm", ocm)):
        save(state, f"{name}.pth")
    if through == "stage":
        paths = {name: f"{name}.pth" for name in ("npr", "sn", "ocm")}
        storage.save(folder="mean", **published.read(section(heads=paths)))
    else:
        cli.main(
            [
                "import",
                "model.pth",
                "--format",
                "pytorch_diffusion",
                "--into",
                "made",
                "--option",
                "heads.npr=npr.pth",
                "--option",
                "heads.sn=sn.pth",
                "--option",
                "heads.ocm=ocm.pth",
            ]
        )
        assert capsys.readouterr().out == "mean.checkpoint: made\n"
        storage.save(
            folder="mean",
            **checkpoint.read("made", sections.ScheduleSection(name="linear", N=1000)),
        )
    model = loaded(Path("mean"))
    eps_hat, features = model(pictures().flatten(1).double(), STEPS)
    assert (
        difference(eps_hat.float(), ddim.original(trunk, pictures(), STEPS - 1)[0].flatten(1))
        < 1e-4
    )
    targets = sections.HeadsSection(targets=dict.fromkeys(("npr", "sn", "ocm"), "imported"))
    made, log = heads.train(model, None, None, targets, ("none",), None)
    heads.save(made, log, Path("heads"))
    outputs = heads.outputs(heads.load(Path("heads"), model, ["npr", "sn", "ocm"]), features)
    for name, state in (("npr", npr), ("sn", sn), ("ocm", ocm)):
        # the head on the trunk that it is used with
        expected = ddim.original({**state, **trunk}, pictures(), STEPS - 1)[1]
        assert difference(outputs[name].float(), expected.flatten(1)) < 1e-4
    assert files.read_json("heads/heads.json")["targets"] == {
        "npr": "simple",
        "sn": "complex",
        "ocm": "simple",
    }
    about = files.read_json("mean/mean.json")
    assert about["sha256"] == {
        f"{name}.pth": sha256(f"{name}.pth") for name in ("model", "npr", "sn", "ocm")
    }


def test_three_heads_and_the_timesteps_of_an_imported_file():
    """Six outputs of N = 4000 steps: improved_ddpm with the network, npr beside it.

    T is told as t/4.
    """
    state = improved_diffusion_state(outputs=6, second="complex")
    trunk = {key: tensor for key, tensor in state.items() if not key.startswith("out2.")}
    save(trunk)
    save(state, "npr.pth")
    cli.main(
        [
            "import",
            "model.pth",
            "--format",
            "improved_diffusion",
            "--option",
            "heads.npr=npr.pth",
            "--option",
            "first_timestep=1",
            "--option",
            "attention_heads=2",
        ]
    )
    made, t = schedule.make("cosine", 4000), torch.tensor([1, 40, 700, 2001, 4000])
    model = loaded(Path("model"), made)
    eps_hat, features = model(pictures().flatten(1).double(), t)
    expected, second, _ = improved.original(state, pictures(), t / 4, heads=2)
    assert difference(eps_hat.float(), expected[:, :3].flatten(1)) < 1e-4
    for name, output in (("improved_ddpm", expected[:, 3:]), ("npr", second)):
        assert difference(heads.with_trunk(model, name)(features), output.flatten(1)) < 1e-4
    with pytest.raises(
        BenchError,
        match="heads.targets.sn: imported, but the mean model came with improved_ddpm, npr only",
    ):
        heads.with_trunk(model, "sn")


class Evil:
    """Writes a file where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def truncated(zipped):
    def arrange():
        save(ddim.random_state(), _use_new_zipfile_serialization=zipped)
        os.truncate("model.pth", os.path.getsize("model.pth") // 2)
        return section()

    return arrange


def other(value, **options):
    def arrange():
        save(value() if callable(value) else value)
        return section(**options)

    return arrange


def head_file(change, **shape):
    """A file of an npr head after `change`, beside a good network."""

    def arrange():
        trunk, npr = with_head("simple", **shape)
        save(trunk)
        save(change(npr), "npr.pth")
        return section(heads={"npr": "npr.pth"})

    return arrange


def without_head(state):
    return {key: tensor for key, tensor in state.items() if "out2" not in key}


BAD = {
    "missing": (
        section,
        "model.pth: missing; mean.published.path: expected a file of format "
        "pytorch_diffusion, as torch.save",
    ),
    "truncated": (
        truncated(True),
        "model.pth: corrupt or truncated .*; mean.published.path: expected a file of format",
    ),
    "truncated, of 2020": (
        truncated(False),
        "model.pth: (corrupt or )?truncated.*; mean.published.path: expected a file of",
    ),
    "objects": (
        other([Evil()]),
        "model.pth: truncated, or holds objects other than tensors, which are not read; mean.pub",
    ),
    "no state dict": (
        other({"epoch": 3}),
        "model.pth: holds no state dict of tensors: found the keys epoch, …; mean.published",
    ),
    "an array": (
        other(torch.zeros(3)),
        "model.pth: holds no state dict of tensors: found a Tensor; mean.published.path: exp",
    ),
    "numbered": (
        other({0: torch.zeros(3)}),
        "model.pth: holds no state dict of tensors: found the keys 0, …",
    ),
    "another architecture": (
        other(improved_diffusion_state),
        "model.pth: not a state dict of the pytorch_diffusion U-Net: found "
        "the keys time_embed.0.weight.*expected tensors named temb.dense.0.weight",
    ),
    "missing keys": (
        other(lambda: without("up.0", "up.1.block.0.conv1")(ddim.random_state())),
        r"model.pth: pytorch_diffusion U-Net: missing keys \(26\): up.0.block.0.conv1.bias, "
        "up.0.block.0.conv1.weight, up.0.block.0.conv2.bias, …; expected the",
    ),
    "wrong sha256": (
        other([Evil()], sha256="0" * 64),
        f"model.pth: found sha256 .*, expected {'0' * 64}; the file was not read",
    ),
    "wrong md5": (
        other([Evil()], md5="0" * 32),
        f"model.pth: found md5 .*, expected {'0' * 32}; the file was not read",
    ),
    "head that is missing": (
        lambda: (save(ddim.random_state()), section(heads={"sn": "sn.pth"}))[1],
        "sn.pth: missing; mean.published.heads.sn: expected a file of format pytorch_diffusion",
    ),
    "no head": (
        head_file(without_head),
        "npr.pth: mean.published.heads.npr: holds no head beside the network; expected",
    ),
    # uniform in ±0.1: root mean square 0.058
    "head on another training": (
        head_file(lambda npr: npr, drift=0.1),
        "npr.pth: mean.published.heads.npr: a head on another "
        "network than model.pth: conv_in.weight differs by 0.05.* of its size, "
        "expected at most 0.01",
    ),
    "head on another size": (
        head_file(lambda npr: with_head("simple", mult=(1, 1))[1]),
        "a head on another network than "
        r"model.pth: down_blocks.1.attentions.0.group_norm.weight is of shape "
        r"\(32,\), expected \(64,\)",
    ),
    "head of other outputs": (
        head_file(lambda npr: {**npr, "conv_out2.weight": torch.zeros(6, 32, 3, 3)}),
        r"npr.pth: head of mode simple: found \(6, 32, 3, 3\) for conv.weight, "
        r"expected \(3, 32, 3, 3\)",
    ),
}


@pytest.mark.parametrize("arrange, message", BAD.values(), ids=BAD)
def test_a_file_that_is_not_what_it_should_be(arrange, message):
    with pytest.raises(BenchError, match=message) as error:
        published.read(arrange())
    assert "\n" not in str(error.value) and not os.path.exists("ran")


def test_checksums_in_either_case_of_letters():
    save(ddim.random_state())
    md5 = hashlib.md5(Path("model.pth").read_bytes(), usedforsecurity=False).hexdigest()
    found = published.read(section(sha256=sha256("model.pth").upper(), md5=md5))
    assert found["sha256"] == {"model.pth": sha256("model.pth")}


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"format": "pytorch_difusion"},
            "format: unknown format 'pytorch_difusion'; did you mean 'pytorch_diffusion'",
        ),
        ({"attention_heads": 4}, "attention_heads: unknown key 'attention_heads'"),
        (
            {"format": "improved_diffusion", "attention_heads": 0},
            "attention_heads: input should be greater than or equal to 1",
        ),
        ({"md5": "123"}, "md5: string should match pattern"),
        ({"first_timestep": 2}, "first_timestep: input should be less than or equal to 1, found 2"),
        ({"heads": {"nrp": "x"}}, "heads.nrp"),
    ],
)
def test_keys_that_are_wrong(options, message):
    with pytest.raises(BenchError, match=f"^mean.published.*{message}") as error:
        loading.published({"format": "pytorch_diffusion", "path": "x", **options})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--option", "md5"], "--option md5: expected KEY=VALUE"),
        (["--option", "heads.=x"], "--option heads.=x: expected KEY=VALUE"),
        (
            ["--option", "heads=1", "--option", "heads.npr=x"],
            "--option heads.npr=x: heads is a value already; expected a mapping",
        ),
        (["--option", "md5=[1"], r"--option md5=\[1: not valid YAML"),
        (
            ["--option", "path=x", "--into", "model.pth"],
            "--into: model.pth: exists already; expected a new folder",
        ),
        ([], "model.pth: not a state dict of the improved-diffusion U-Net"),
    ],
)
def test_bench_import_tells_mistakes_in_a_line(arguments, message):
    save(ddim.random_state())
    with pytest.raises(SystemExit, match=f"^bench import: error: {message}") as error:
        cli.main(["import", "model.pth", "--format", "improved_diffusion", *arguments])
    assert "\n" not in str(error.value) and os.listdir() == ["model.pth"]


def experiment(**changes):
    """The default experiment with another mean model."""
    raw = loading.load(ROOT / "params.yaml").model_dump(mode="json")
    setting = {
        **next(iter(raw["settings"].values())),
        **changes,
        "schedule": {"name": "linear", "N": 1000},
        "extractor": None,
        "bound": {"images": 1, "trajectories": ["even"], "K": [10]},
    }
    return loading.resolve({**raw, "metrics": ["nll"], "settings": {"one": setting}})


def test_the_stage_refuses_heads_that_did_not_come():
    """Told when the network is imported, not when the heads are asked for hours later."""
    save(ddim.random_state(images=1))
    os.makedirs("results/one/data")
    images = np.zeros((4, 1, 8, 8), dtype=np.uint8)
    about = {"name": "none", "levels": 17, "shape": [1, 8, 8], "train": 4, "test": 4, "sha256": ""}
    with files.writing("results/one/data") as partial:
        partial.mkdir()
        for split in ("train", "test"):
            np.save(partial / f"{split}.npy", images)
        files.write_json(partial / "data.json", about)
    asked = {
        "mean": {"published": {"format": "pytorch_diffusion", "path": "model.pth"}},
        "heads": {"targets": {"npr": "imported", "sn": "imported", "improved_ddpm": "imported"}},
    }
    with pytest.raises(
        BenchError,
        match="heads.targets.npr: imported, but the mean model came with no heads; expected",
    ):
        networks.train_mean(experiment(**asked), "one")
    assert not os.path.exists("results/one/mean")
    networks.train_mean(
        experiment(**{**asked, "heads": None}, processes={"ddpm": {"variants": ["beta"]}}), "one"
    )
    assert files.read_json("results/one/mean/mean.json")["format"] == "pytorch_diffusion"
