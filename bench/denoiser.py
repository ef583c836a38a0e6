"""The frozen networks and the moments of a setting, and what one network pass gives.

From x_t = a_t x_0 + b_t ε a pass gives ε̂, x̂_0 = (x_t − b_t ε̂)/a_t, clipped to the data range,
and the outputs of the heads. Variants read these and the moments, and nothing else. The bound and
the sampler both use them.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor

from bench import covariance, heads
from bench.covariance import MomentsAt, Seen
from bench.data.dataset import Data
from bench.jacobian import Jacobian, Undeclared, differentiate
from bench.schedule import Schedule
from bench.variant import Moments


@dataclass(frozen=True)
class Denoiser:
    """The networks of a setting, and its moments.

    model: `bench.mean.model.MeanModel`, or another with the same call and attributes. heads: {name
    of the variant: network}. moments: of `bench.moments`, or None if no variant reads them.
    precision: of the networks, 'fp32', or 'bf16' for torch's autocast to bfloat16. All else is
    float64.
    """

    model: Any
    heads: Mapping[str, torch.nn.Module]
    moments: Moments | None
    data: Data
    schedule: Schedule
    precision: str = "fp32"

    @property
    def device(self) -> torch.device:
        """Where the networks run. x_t must be there."""
        return self.model.device

    def predict(
        self, x_t: Float64[Tensor, "batch dim"], t: int, variants: Iterable[str] = ()
    ) -> "Prediction":
        """One pass at step t, 1..N.

        variants: of which some may read products with the Jacobian. Then the pass keeps what these
        need, and takes longer.
        """
        of_rows, jacobian = torch.full((len(x_t),), t, device=x_t.device), None
        products = any(covariance.get(name).products(self.data.dim) for name in variants)
        with self._cast():
            if products:
                eps_hat, features, jacobian = differentiate(
                    self.model, x_t, of_rows, self.schedule.noise[t]
                )
            else:
                eps_hat, features = self.model(x_t, of_rows)
            outputs = heads.outputs(self.heads, features)
        return Prediction.of(
            self.schedule, self.data, self.moments, t, x_t, eps_hat, outputs, jacobian
        )

    def predict_noise(
        self, x_t: Float64[Tensor, "batch dim"], t: float
    ) -> Float64[Tensor, "batch dim"]:
        """ε̂ of one pass at t, which may lie between two steps."""
        kind = torch.int64 if t == int(t) else torch.float64
        of_rows = torch.full((len(x_t),), t, dtype=kind, device=x_t.device)
        with self._cast():
            return self.model(x_t, of_rows)[0]

    def _cast(self):
        """The context in which networks run."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()


@dataclass(frozen=True)
class Prediction:
    """What one pass at step t gives: ε̂, x̂_0 clipped to the data range, {name of the variant: output
    of its head}, and v from derivatives of the mean model, the same for all variants that read it.

    schedule, data, moments: as in `Denoiser`. No image of the data is read.
    """

    schedule: Schedule
    data: Data
    moments: Moments | None
    t: int
    x_t: Float64[Tensor, "batch dim"]
    eps_hat: Float64[Tensor, "batch dim"]
    x0_hat: Float64[Tensor, "batch dim"]
    heads: Mapping[str, Shaped[Tensor, "batch _"]]
    jacobian: Jacobian | None

    @classmethod
    def of(
        cls,
        schedule: Schedule,
        data: Data,
        moments: Moments | None,
        t: int,
        x_t: Float64[Tensor, "batch dim"],
        eps_hat: Float64[Tensor, "batch dim"],
        heads: Mapping[str, Shaped[Tensor, "batch _"]],
        jacobian: Jacobian | None = None,
    ) -> "Prediction":
        """The prediction whose x̂_0 follows from ε̂."""
        x0_hat = (x_t - schedule.noise[t] * eps_hat) / schedule.signal[t]
        x0_hat = x0_hat.clamp(data.lo, data.hi)
        return cls(schedule, data, moments, t, x_t, eps_hat, x0_hat, heads, jacobian)

    def seen(
        self,
        variant: str,
        direction: Float64[Tensor, "batch dim"] | None = None,
        error: Float64[Tensor, "batch dim"] | None = None,
        probe: Callable[[], Float64[Tensor, "batch dim"]] | None = None,
    ) -> Seen:
        """What the variant called `variant` reads of this pass.

        direction: the noise of a step of the sampler. error, probe: in the bound, see `Seen`.
        """
        chosen, moments, jacobian = covariance.get(variant), None, self.jacobian
        if self.moments is not None:
            moments = MomentsAt(self.moments, self.t, chosen)
        if not chosen.products(self.data.dim):
            jacobian = Undeclared(
                f"variant {variant!r} reads seen.jacobian; expected a method `products` that says "
                "how many products it takes"
            )
        return Seen(
            self.t,
            self.schedule,
            radius=self.data.radius,
            eps_hat=self.eps_hat,
            x0_hat=self.x0_hat,
            moments=moments,
            head=self.heads.get(variant),
            shape=self.data.shape,
            jacobian=jacobian,
            direction=direction,
            error=error,
            probe=probe,
        ).framed(chosen)
