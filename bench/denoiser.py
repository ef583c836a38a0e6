"""What reverse steps are made of: the frozen networks and the moments of a setting, seen through
one network pass.

From x_t = a_t x_0 + b_t ε a pass gives ε̂, x̂_0 = (x_t − b_t ε̂)/a_t, clipped to the data range,
and the heads' outputs: all that the variants read. The bound and the sampler are both written in
these.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from bench import covariance, heads
from bench.covariance import MomentsAt, Seen
from bench.data.dataset import Data
from bench.schedule import Schedule


@dataclass(frozen=True)
class Denoiser:
    """The networks of a setting, and the moments where a variant reads them.

    model: `bench.mean.model.MeanModel`, or another that is called like it. heads: {name of the
    variant: network}. moments: of `bench.moments`, or None. precision: of the networks, 'fp32', or
    'bf16' for torch's autocast to bfloat16. All else is float64.
    """

    model: object
    heads: Mapping[str, torch.nn.Module]
    moments: Mapping[str, np.ndarray] | None
    data: Data
    schedule: Schedule
    precision: str = "fp32"

    @property
    def device(self) -> torch.device:
        """Where the networks run, and x_t has to be."""
        return self.model.device

    def predict(self, x_t: torch.Tensor, t: int) -> Prediction:
        """One pass at step t, 1..N, for x_t, float64 (batch, dim)."""
        cast = contextlib.nullcontext()
        if self.precision == "bf16":
            cast = torch.autocast(x_t.device.type, torch.bfloat16)
        with cast:
            eps_hat, features = self.model(x_t, torch.full((len(x_t),), t, device=x_t.device))
            outputs = heads.outputs(self.heads, features)
        x0_hat = (x_t - self.schedule.noise[t] * eps_hat) / self.schedule.signal[t]
        return Prediction(self, t, eps_hat, x0_hat.clamp(self.data.lo, self.data.hi), outputs)


@dataclass(frozen=True)
class Prediction:
    """What one pass says about x_0 given x_t: float64 tensors (batch, dim)."""

    denoiser: Denoiser
    t: int
    eps_hat: torch.Tensor
    x0_hat: torch.Tensor
    heads: Mapping[str, torch.Tensor]

    def seen(self, variant: str) -> Seen:
        """What the variant called `variant` reads of this pass."""
        moments = self.denoiser.moments
        if moments is not None:
            moments = MomentsAt(moments, self.t, covariance.get(variant))
        return Seen(
            self.t,
            self.denoiser.schedule,
            self.denoiser.data.radius,
            self.eps_hat,
            self.x0_hat,
            moments,
            self.heads.get(variant),
        )
