"""Analytic-DPM: the optimal variance when the mean model is perfect, ε̂ = E[ε | x_t].

Then Cov[ε | x_t] = E[εεᵀ | x_t] − ε̂ε̂ᵀ, and averaging over x_t leaves v = 1 − E[ε̂²]: over all coordinates
(Bao et al. 2022a, Theorem 1; Su 2022a, estimate 2) or for each of them (Su 2022b; Bao et al. 2022b).
"""

import numpy as np

from bench.covariance import Variant


class AnalyticScalar(Variant):
    name = "analytic_scalar"
    source = "Bao 2022a; Su 2022a"
    uses_moments = True

    def v(self, t, moments, eps_hat, head):
        return 1 - moments["eps_sq"][t].mean().reshape(1, 1)

    def edge_costs(self, process, radius, moments):
        """J(s, t) = log(σ²_{s|t}/λ²_{s|t}) per coordinate (Bao et al. 2022a, section 4)."""
        schedule = process.schedule
        cost = np.full((schedule.N + 1, schedule.N + 1), np.inf)
        for t in range(2, schedule.N + 1):
            s = np.arange(1, t)
            sigma_sq = self.variance(
                process, s, t, self.data_variance(t, schedule, radius, moments)[0]
            )
            cost[1:t, t] = np.log(sigma_sq / process.lambda_sq(s, t))
        return cost


class AnalyticDiagonal(Variant):
    name = "analytic_diagonal"
    source = "Su 2022b; Bao 2022b"
    uses_moments = True

    def v(self, t, moments, eps_hat, head):
        return 1 - moments["eps_sq"][t].reshape(1, -1)
