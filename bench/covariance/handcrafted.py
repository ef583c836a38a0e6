"""The handcrafted variances: nothing is estimated.

`beta_tilde` (DDPM) and `zero` (DDIM) take v = 0, so that σ² = λ²: the posterior variance of a
single data point. `beta` takes σ² = β_{t|s}, the posterior variance of white noise. Ho et al. 2020;
Song et al. 2020.
"""

import numpy as np

from bench.covariance import Variant


class BetaTilde(Variant):
    name = "beta_tilde"
    source = "Ho 2020"
    processes = ("ddpm",)

    def spectrum(self, seen):
        return 0.0


class Zero(Variant):
    name = "zero"
    source = "Song 2020a"
    processes = ("ddim",)

    def spectrum(self, seen):
        return 0.0


class Beta(Variant):
    """σ² itself is given, and no covariance of the data is estimated."""

    name = "beta"
    source = "Ho 2020"
    processes = ("ddpm",)
    has_optimal_trajectory = True
    edge_moments = ("x0_error_sq_mean",)

    def reverse_variance(self, process, s, seen):
        """σ² = β_{t|s}."""
        return np.atleast_2d(process.schedule.skip_beta(s, seen.t))

    def edge_costs(self, process, radius, moments):
        """F(s, t): the term KL(q(x_s | x_t, x_0) ‖ p(x_s | x_t)) of the bound on the training set,
        in nats per coordinate.

        For a state-independent variance it is linear in E‖x_0 − x̂_0‖², so the moments give every
        edge (Watson et al. 2021; Bao et al. 2022a, Appendix H).
        """
        N, error = process.schedule.N, moments["x0_error_sq_mean"]
        cost = np.full((N + 1, N + 1), np.inf)
        for t in range(2, N + 1):
            s = np.arange(1, t)
            sigma_sq = process.schedule.skip_beta(s, t)
            ratio = process.lambda_sq(s, t) / sigma_sq
            cost[1:t, t] = 0.5 * (
                ratio - np.log(ratio) - 1 + process.gamma(s, t) ** 2 * error[t] / sigma_sq
            )
        return cost
