"""The variance of Improved DDPM: a network's choice between β̃ and β, on a logarithmic scale
(Nichol & Dhariwal 2021).

    log σ² = u log β_{t|s} + (1 − u) log β̃_{s|t},      u = (o + 1)/2

for the head's output o (their eq. 15). u is not clipped to [0, 1], as in their code. On the step to
the data β̃ is zero; it is replaced by β̃_{1|2}, as in theirs.

The head is trained on the bound itself, L_vlb = Σ_t L_t: the terms of the full chain with the mean
frozen. At t = 1 the last term is the density of a Gaussian, or for data with levels the discretised
one, of the head's own variance.
"""

import numpy as np

from bench.covariance import Batch, Head, Seen, Variant
from bench.process import Process, Tensor
from bench.schedule import Numbers, Steps


class ImprovedDdpm(Variant):
    """σ² itself is learned. No covariance of the data is estimated."""

    name = "improved_ddpm"
    source = "Nichol & Dhariwal 2021"
    look = ("#CC79A7", "P")
    processes = ("ddpm",)
    conditional = True
    head = Head(outputs="pixel", steps="importance")

    def reverse_variance(self, process: Process, s: Steps, seen: Seen) -> Tensor:
        low, high = ends(process, s, seen.t)
        return low * (high / low) ** ((seen.head + 1) / 2)  # one power, not one for each end

    def loss(self, batch: Batch, output: Tensor) -> Tensor:
        """L_t of each row, (batch,), in nats and float64."""
        import torch  # here, because reading the configuration imports this file

        from bench import terms

        process, data, t = batch.process, batch.data, batch.t.cpu().numpy()
        low, high = (
            torch.from_numpy(end).to(output.device)[:, None] for end in ends(process, t - 1, t)
        )
        u = (output.double() + 1) / 2
        sigma_sq = torch.exp(u * high.log() + (1 - u) * low.log())
        error_sq = (batch.x_0 - batch.x0_hat) ** 2
        first, later = batch.t == 1, t[t > 1]
        nats = torch.empty(len(t), dtype=torch.float64, device=output.device)
        nats[~first] = terms.middle_term(
            process, later - 1, later, sigma_sq[~first], error_sq[~first]
        )
        if data.levels is None:
            nats[first] = terms.last_term_continuous(
                process.schedule, sigma_sq[first], error_sq[first]
            )
        else:
            nats[first] = terms.last_term(
                data, batch.x_0[first], batch.x0_hat[first], sigma_sq[first].sqrt()
            )
        return nats


def ends(process: Process, s: Steps, t: Steps) -> tuple[Numbers, Numbers]:
    """(β̃_{s|t}, β_{t|s}) of steps t → s. If s = 0, the first is β̃_{1|2}, or β if that is less."""
    beta = process.schedule.skip_beta(s, t)
    at_data = np.minimum(beta, process.schedule.last_beta_tilde)
    return np.where(np.equal(s, 0), at_data, process.schedule.beta_tilde(s, t))[()], beta
