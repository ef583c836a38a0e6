"""What reverse steps are made of: the frozen networks and the moments of a setting, seen through one network pass.

From x_t = a_t x_0 + b_t ε a pass gives ε̂, and with it x̂_0 = (x_t − b_t ε̂)/a_t, clipped to the data range, and for
every variant its estimate of Cov[x_0 | x_t]. The bound and the sampler are both written in these.
"""

import contextlib
from dataclasses import dataclass

import torch

from bench import covariance, heads
from bench.data.dataset import Data
from bench.schedule import Schedule


@dataclass(frozen=True)
class Denoiser:
    """model: `bench.mean.model.MeanModel`; heads: {name: Head}; moments: of `bench.moments`, None where no variant reads them;
    precision: of the networks, 'fp32', or 'bf16' for torch's autocast to bfloat16. All else is float64."""

    model: object
    heads: dict
    moments: dict | None
    data: Data
    schedule: Schedule
    precision: str = "fp32"

    @property
    def device(self):
        """Where the networks run, and x_t has to be."""
        return self.model.device

    def predict(self, x_t, t):
        """One pass at step t (an int, 1..N) for x_t, float64 (batch, dim)."""
        with (
            torch.autocast(x_t.device.type, torch.bfloat16)
            if self.precision == "bf16"
            else contextlib.nullcontext()
        ):
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
    heads: dict

    def data_variance(self, variant):
        """The diagonal of Σ_0(x_t) as the variant called `variant` has it: a numpy array (1, 1 or dim) where it is the same for
        every x_t, else a tensor (batch, dim)."""
        chosen = covariance.get(variant)
        return chosen.data_variance(
            self.t,
            self.denoiser.schedule,
            self.denoiser.data.radius,
            self.denoiser.moments,
            self.eps_hat,
            self.heads.get(chosen.head),
        )
