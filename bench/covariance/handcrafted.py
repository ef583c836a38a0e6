"""The handcrafted variances: nothing is estimated (Ho et al. 2020; Song et al. 2020).

`beta_tilde` (DDPM) and `zero` (DDIM) take v = 0, so σ² = λ²: the posterior variance if the data are
a single point. `beta` takes σ² = β_{t|s}, the posterior variance if the data are white noise.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from bench.covariance import Seen, Variant
from bench.process import Process
from bench.schedule import Steps


class BetaTilde(Variant):
    name = "beta_tilde"
    source = "Ho 2020"
    look = ("#000000", "o")
    processes = ("ddpm",)
    clipped = False

    def spectrum(self, seen: Seen) -> float:
        return 0.0


class Zero(Variant):
    name = "zero"
    source = "Song 2020a"
    look = ("#000000", "X")
    processes = ("ddim",)
    clipped = False

    def spectrum(self, seen: Seen) -> float:
        return 0.0


class Beta(Variant):
    """σ² = β_{t|s}. No covariance of the data is estimated."""

    name = "beta"
    source = "Ho 2020"
    look = ("#777777", "s")
    processes = ("ddpm",)
    has_optimal_trajectory = True
    edge_moments = ("x0_error_sq_mean", "last_term_mean")

    def reverse_variance(
        self, process: Process, s: Steps, seen: Seen
    ) -> Float64[np.ndarray, "steps 1"]:
        """σ² = β_{t|s}."""
        return np.atleast_2d(process.schedule.skip_beta(s, seen.t))

    def edge_costs(
        self, process: Process, moments: Mapping[str, np.ndarray]
    ) -> Float64[np.ndarray, "steps steps"]:
        """F(s, t): the term of the bound on the training set, in nats per coordinate: KL(q(x_s |
        x_t, x_0) ‖ p(x_s | x_t)), or −E log p(x_0 | x_t) for s = 0.

        For a state-independent variance the first is linear in E‖x_0 − x̂_0‖². So the moments give
        the cost of every edge (Watson et al. 2021; Bao et al. 2022a, Appendix H).
        """
        N, error = process.schedule.N, moments["x0_error_sq_mean"]
        cost = np.full((N + 1, N + 1), np.inf)
        cost[0, 1:] = moments["last_term_mean"][1:]
        for t in range(2, N + 1):
            s = np.arange(1, t)
            sigma_sq = process.schedule.skip_beta(s, t)
            ratio = process.lambda_sq(s, t) / sigma_sq
            cost[1:t, t] = 0.5 * (
                ratio - np.log(ratio) - 1 + process.gamma(s, t) ** 2 * error[t] / sigma_sq
            )
        return cost
