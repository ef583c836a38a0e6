"""A mean model that is any function, for use from Python."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float64, Shaped
from torch import Tensor

from bench.mean.model import predicted_noise
from bench.runtime.errors import BenchError
from bench.schedule import Schedule, levels


class FunctionModel:
    """A function with the call and attributes of `bench.mean.model.MeanModel`, without features.

    function: called with images (batch, channels, height, width) and timesteps (batch,), which are
    t − 1, as diffusers counts from 0. It returns a prediction of the same shape, or an object that
    has it as `sample`, as diffusers' networks do. A module is put into evaluation mode, and gets
    images in the precision of its parameters and on their device. Any other function gets float64.
    """

    first_timestep, scale = 0, 1

    def __init__(
        self,
        function: Callable[[Tensor, Tensor], Any],
        prediction_type: str,
        schedule: Schedule,
        shape: tuple[int, ...],
    ):
        self.function, self.prediction_type, self.shape = function, prediction_type, shape
        if isinstance(function, torch.nn.Module):
            function.eval()
        parameters = getattr(function, "parameters", lambda: iter(()))
        first = next(parameters(), torch.empty(0, dtype=torch.float64))
        self.device, self.dtype = first.device, first.dtype
        self.signal = torch.from_numpy(schedule.signal).to(self.device)
        self.noise = torch.from_numpy(schedule.noise).to(self.device)

    def __call__(
        self, x_t: Float64[Tensor, "batch dim"], t: Shaped[Tensor, " batch"]
    ) -> tuple[Float64[Tensor, "batch dim"], None]:
        """ε̂, and no features. t: steps 1..N, or floats between them."""
        # A copy: a function may change its images.
        images = x_t.to(self.dtype, copy=True).reshape(-1, *self.shape)
        found = self.function(images, t - 1)
        output = getattr(found, "sample", found)
        if not torch.is_tensor(output) or output.shape != images.shape:
            shape = tuple(output.shape) if torch.is_tensor(output) else type(output).__name__
            raise BenchError(
                f"network: expected a tensor {tuple(images.shape)}, as its images, found {shape}"
            )
        a, b = levels(self.signal, self.noise, t)
        return predicted_noise(self.prediction_type, output.flatten(1).double(), x_t, a, b), None
