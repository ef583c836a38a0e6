"""The exact mean model of data whose law is known, made imperfect on request.

ε̂(x_t, t) = E[ε | x_t] + δ √2 sin(W x_t + φ), with a fixed random matrix W, whose rows have unit
length on average, and phases φ. The second term is a smooth field; its root mean square over x_t is
about `imperfection` = δ per coordinate at every t. Because the field is known, the effect of an
imperfect mean on a variance estimate can be separated from the estimate's own error.

Heads read x_t and ε̂ as the trunk's last features, and waves of t as the time embedding.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Float64, Shaped
from pydantic import Field
from torch import Tensor
from typing_extensions import TypedDict

from bench import noise
from bench.data.dataset import Data
from bench.mean.model import Features, Trunk
from bench.mixture import SPREAD, Mixture, Oracle
from bench.runtime import files
from bench.runtime.errors import BenchError
from bench.runtime.fields import Number
from bench.schedule import Schedule

WAVES = 8  # of each of sine and cosine in the time embedding


class About(TypedDict):
    """What mean.json says of the exact mean model; see `OracleModel`."""

    imperfection: Annotated[Number, Field(ge=0)]


class OracleModel:
    """ε̂ of a diffused mixture, with the call and attributes of `bench.mean.model.MeanModel`.

    imperfection: root mean square of the bias field per coordinate, ≥ 0.
    """

    device = torch.device("cpu")  # small matrices in float64

    def __init__(self, law: Mixture, schedule: Schedule, imperfection: float = 0.0):
        self.oracle, self.N, self.imperfection = Oracle(law, schedule), schedule.N, imperfection
        self.shape = (law.dim, 1, 1)
        draws = noise.generator("bias", law.dim)
        self.waves = torch.from_numpy(
            draws.normal(size=(law.dim, law.dim)) / (2 * SPREAD * law.dim**0.5)
        )
        self.phases = torch.from_numpy(draws.uniform(0, 2 * np.pi, size=law.dim))
        self.trunk = Trunk(
            channels=2 * law.dim, time_channels=2 * WAVES, out_channels=law.dim, groups=2
        )

    def bias(self, x_t: Float64[Tensor, "batch dim"]) -> Float64[Tensor, "batch dim"]:
        """The field that is added to E[ε | x_t]."""
        return self.imperfection * 2**0.5 * torch.sin(x_t @ self.waves + self.phases)

    def __call__(
        self, x_t: Float64[Tensor, "batch dim"], t: Shaped[Tensor, " batch"]
    ) -> tuple[Float64[Tensor, "batch dim"], Features]:
        """ε̂ and `Features`. t: steps 1..N, or floats between them."""
        eps_hat = self.oracle.eps(x_t, t) + self.bias(x_t)
        angles = np.pi * t[:, None] / self.N * torch.arange(1, WAVES + 1)
        time = torch.cat([torch.sin(angles), torch.cos(angles)], dim=1).float()
        return eps_hat, Features(torch.cat([x_t, eps_hat], dim=1).float()[:, :, None, None], time)


def save(section: Any, data: Data, folder: str | Path) -> None:
    """Writes mean.json. BenchError if the law of the data is not known.

    section: a `sections.OracleSection`.
    """
    _check(data)
    with files.writing(folder) as partial:
        partial.mkdir(parents=True)
        files.write_json(
            partial / "mean.json", {"oracle": section.model_dump(), "source": "oracle"}
        )


def load(about: About, data: Data, schedule: Schedule) -> OracleModel:
    """The OracleModel that mean.json describes."""
    _check(data)
    return OracleModel(data.law, schedule, about["imperfection"])


def _check(data):
    if data.law is None:
        raise BenchError(
            f"mean.oracle: expected data whose law is known, such as data.name mixture; "
            f"found data set {data.name!r}"
        )
