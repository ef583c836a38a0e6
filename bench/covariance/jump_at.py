"""`jump`, trained for trajectories of one number of steps: row `jump_at-10` for K = 10.

What `jump` loses at this K against it is the price of one head for every K.
"""

from bench.covariance import Batch, positive
from bench.covariance.jump import Jump, jump_loss
from bench.frames import PIXEL
from bench.process import Tensor
from bench.runtime.errors import BenchError


class JumpAt(Jump):
    name = None
    family = "jump_at"
    look = ("#44AA99", "^")

    def __init__(self, steps: int):
        self.name = f"{self.family}-{steps}"
        if steps < 2:
            raise BenchError(f"variant {self.name!r}: expected a number of steps from 2")
        self.steps = steps

    def loss(self, batch: Batch, output: Tensor) -> Tensor:
        return jump_loss(batch, positive(output.double()), PIXEL, (self.steps,))
