"""The mean model of a file that others published, as a UNet2DModel and its heads.

A file is checked by its checksum, if one is known, read as tensors only, and converted by its
format (`bench.mean.formats`). NPR, SN and OCM heads were published as whole networks: the trunk's
weights again, and the head's. A head is taken from such a file only if its trunk is the mean model.

The trunks need to agree to rounding only. The released trunks are moving averages of constant
weights in fp32. Each step w ← r w + (1 − r) w_0 rounds by up to about 2⁻²³ of w, and the error
shrinks by 1 − r = 10⁻⁴ per step. So it stays within 2⁻²³/10⁻⁴ ≈ 10⁻³ of w.

Which timesteps the network gets (`first`, `rescaled`) depends on its training; see
`sections.PublishedSection`.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch

from bench import heads
from bench.mean import conversion, formats
from bench.mean.model import Trunk
from bench.runtime import download, files
from bench.runtime.errors import BenchError

# The largest relative difference of a tensor's norm: ten times what rounding explains. Trunks of
# two trainings differ by 1.
SAME_TRUNK = 1e-2


def read(section: Any) -> dict[str, Any]:
    """What `bench.mean.storage.save` keeps of a `sections.PublishedSection`, as its arguments.

    Raises BenchError if a file is missing, truncated or of another architecture, if a checksum is
    wrong, or if a file under `heads` holds no head or another trunk.
    """
    network = _network(
        section, "path", section.path, {"sha256": section.sha256, "md5": section.md5}
    )
    states = {"improved_ddpm": network.variance} if network.variance else {}
    for name, path in section.heads.items():
        states[name] = _head(section, name, path, network.unet)
    trunk = Trunk.of(network.unet)
    for name, state in states.items():
        try:
            heads.imported(state, trunk)
        except BenchError as error:
            raise BenchError(f"{section.heads.get(name, section.path)}: {error}") from error
    return {
        "unet": network.unet,
        "prediction_type": "epsilon",
        "heads": states,
        "source": section.path,
        "log": [],
        "format": section.format,
        "sha256": {path: _sha256(path) for path in (section.path, *section.heads.values())},
        "timesteps": {"first": section.first_timestep, "rescaled": section.rescale_timesteps},
    }


def _network(section, key, path, checksums=None):
    """The `conversion.Network` of a file, once its checksums are right."""
    remedy = (
        f"mean.published.{key}: expected a file of format {section.format}, as torch.save writes it"
    )
    with files.reading(path, remedy):
        wrong = download.wrong(path, checksums or {})
    if wrong:
        raise BenchError(
            f"{path}: {wrong}; the file was not read; download it again, or correct the checksum "
            "in mean.published"
        )
    state = conversion.state_dict(path, remedy)
    try:
        return formats.get(section.format).read(state, **section.options)
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from error


def _head(section, name, path, unet):
    """The state of the head in a file whose trunk is `unet`."""
    network = _network(section, f"heads.{name}", path)
    if network.second is None:
        raise BenchError(
            f"{path}: mean.published.heads.{name}: holds no head beside the network; expected the "
            "output that Extended-Analytic-DPM trains on it (out2, or norm_out2 and conv_out2)"
        )
    another = f"{path}: mean.published.heads.{name}: a head on another network than {section.path}"
    there, here = network.unet.state_dict(), unet.state_dict()
    for key, tensor in here.items():
        if key not in there or there[key].shape != tensor.shape:
            shape = tuple(there[key].shape) if key in there else None
            raise BenchError(
                f"{another}: {key} is of shape {shape}, expected {tuple(tensor.shape)}"
            )
        off = torch.linalg.norm(there[key] - tensor) / torch.linalg.norm(tensor).clamp(min=1e-12)
        if not off <= SAME_TRUNK:
            raise BenchError(
                f"{another}: {key} differs by {off:.2g} of its size, "
                f"expected at most {SAME_TRUNK:g}"
            )
    return network.second


def _sha256(path):
    """The checksum of a file, which mean.json records."""
    with open(Path(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
