"""The mean model of a file that others published, made into a UNet2DModel and the heads that came with it.

A file is checked by its checksum where one is known, read as tensors only, and converted by its format
(`bench.mean.formats`). NPR and SN heads were published as networks of their own: the trunk's weights again, and the head's.
A head is taken from such a file only if its trunk is the mean model. Equal to rounding, not to the bit: the released trunks are
what a moving average made of constant weights in fp32. Each of its steps w ← r w + (1 − r) w_0 rounds by up to about 2⁻²³ of w,
and what is off shrinks by 1 − r = 10⁻⁴ a step, so that it stays within 2⁻²³/10⁻⁴ ≈ 10⁻³ of w.

The way of the timesteps (`first`, `rescaled`) depends on the training; see `sections.PublishedSection`.
"""

import hashlib
from pathlib import Path

import torch

from bench import heads
from bench.mean import conversion, formats
from bench.mean.model import Trunk
from bench.runtime import download, files
from bench.runtime.errors import BenchError

SAME_TRUNK = 1e-2  # relative difference of a tensor's norm, ten times what rounding explains; other trainings differ by 1


def read(section):
    """What `bench.mean.storage.save` keeps of the files of a `sections.PublishedSection`, as a dict of its arguments.

    Raises BenchError where a file is missing, truncated or of another architecture, a checksum is wrong, or a file under
    `heads` holds no head or another trunk.
    """
    network = _network(
        section, "path", section.path, {"sha256": section.sha256, "md5": section.md5}
    )
    came = {"improved_ddpm": network.variance} if network.variance else {}
    for name, path in section.heads.items():
        came[name] = _head(section, name, path, network.unet)
    trunk = Trunk.of(network.unet)
    for name, state in came.items():
        try:
            heads.imported(state, trunk)
        except BenchError as error:
            raise BenchError(f"{section.heads.get(name, section.path)}: {error}") from error
    return {
        "unet": network.unet,
        "prediction_type": "epsilon",
        "heads": came,
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
            f"{path}: {wrong}; nothing was read of it; download it again, or correct mean.published"
        )
    state = conversion.state_dict(path, remedy)
    try:
        return formats.get(section.format).read(state, **section.options)
    except BenchError as error:
        raise BenchError(f"{path}: {error}") from error


def _head(section, name, path, unet):
    """The state of the head in a file whose trunk is `unet`."""
    found = _network(section, f"heads.{name}", path)
    if found.second is None:
        raise BenchError(
            f"{path}: mean.published.heads.{name}: holds no head beside the network; expected the output that "
            "Extended-Analytic-DPM trains on it (out2, or norm_out2 and conv_out2)"
        )
    there, here = found.unet.state_dict(), unet.state_dict()
    for key, tensor in here.items():
        if key not in there or there[key].shape != tensor.shape:
            raise BenchError(
                f"{path}: mean.published.heads.{name}: a head on another network than {section.path}: {key} is of "
                f"shape {tuple(there[key].shape) if key in there else None}, expected {tuple(tensor.shape)}"
            )
        off = torch.linalg.norm(there[key] - tensor) / torch.linalg.norm(tensor).clamp(min=1e-12)
        if not off <= SAME_TRUNK:
            raise BenchError(
                f"{path}: mean.published.heads.{name}: a head on another network than {section.path}: {key} differs "
                f"by {off:.2g} of its size, expected at most {SAME_TRUNK:g}"
            )
    return found.second


def _sha256(path):
    """The checksum that is recorded with what is made of a file."""
    with open(Path(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
