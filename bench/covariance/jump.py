"""A conditional diagonal variance learned on the terms of the bound themselves, over jumps of every
length.

`improved_ddpm` is trained on single steps t → t − 1 and fails at few steps. Here each row of the
training batch draws K, and its loss is the bound's term of the jump from t to

    s = max(1, t − (N − 1)/(K − 1)),

about a step of the even trajectory with K steps. From t = 1 the jump goes to the data. For data
with levels that term does not have the variance of the variant, so it is left out.
"""

import math
from collections.abc import Collection

import numpy as np

from bench import noise
from bench.covariance import Batch, Head, Seen, Variant, positive
from bench.frames import PIXEL, Frame
from bench.process import Tensor

STEPS = (5, 10, 25, 50, 100, 200, 400, math.inf)  # K is one of these, or N where it is smaller


class Jump(Variant):
    name = "jump"
    source = "this benchmark"
    look = ("#44AA99", "o")
    assumes = "imperfect mean"
    conditional = True
    head = Head(outputs="pixel")

    def loss(self, batch: Batch, output: Tensor) -> Tensor:
        return jump_loss(batch, positive(output.double()), PIXEL)

    def spectrum(self, seen: Seen) -> Tensor:
        return positive(seen.head)


def jump_loss(batch: Batch, v: Tensor, frame: Frame, steps: Collection[float] = STEPS) -> Tensor:
    """The bound's term of a jump of random length from each row's step, (batch,), in nats.

    v: the spectrum of the variant in `frame`, (batch, groups). steps: see `jumps`.
    """
    import torch  # here, because reading the configuration imports this file

    from bench import terms

    process, t = batch.process, batch.t.cpu().numpy()
    schedule = process.schedule
    s = jumps(t, schedule.N, batch.names, steps)
    scale = torch.from_numpy(schedule.noise_sq[t] / schedule.alpha_bar[t]).to(v.device)[:, None]
    error_sq = frame.energies(batch.x_0 - batch.x0_hat)
    caps = torch.as_tensor(batch.data.radius**2 * frame.caps, device=v.device).detach()
    estimate = (scale * v).clamp(max=caps)
    lambda_sq, gamma_sq = (
        torch.from_numpy(values).to(v.device)[:, None]
        for values in (process.lambda_sq(s, t), process.gamma(s, t) ** 2)
    )
    sigma_sq = lambda_sq + gamma_sq * estimate
    to_data = batch.t == 1
    nats = torch.zeros(len(t), dtype=torch.float64, device=v.device)
    nats[~to_data] = terms.middle_term(
        process, s[t > 1], t[t > 1], sigma_sq[~to_data], error_sq[~to_data]
    )
    if batch.data.levels is None:
        nats[to_data] = terms.last_term_continuous(schedule, sigma_sq[to_data], error_sq[to_data])
    return nats


def jumps(t: np.ndarray, N: int, names: tuple, steps: Collection[float] = STEPS) -> np.ndarray:
    """A step s < t for each t, (batch,): at random, a function of `names`.

    steps: from which K is drawn, with equal chance; N in place of those above it.
    """
    choices = sorted({min(K, N) for K in steps})
    K = noise.generator(*names, "jump").choice(choices, size=len(t))
    lengths = np.rint((N - 1) / (K - 1)).astype(int)
    return np.where(t > 1, np.maximum(1, t - lengths), 0)
