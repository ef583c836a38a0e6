"""Analytic-DPM: the optimal variance when the mean model is perfect, ε̂ = E[ε | x_t].

Then Cov[ε | x_t] = E[εεᵀ | x_t] − ε̂ε̂ᵀ, and averaging over x_t leaves v = 1 − E[ε̂²]: over all
coordinates (Bao et al. 2022a, Theorem 1; Su 2022a, estimate 2) or for each of them (Su 2022b; Bao
et al. 2022b).
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from bench.covariance import MomentsAt, Seen, Variant
from bench.process import Process


class AnalyticScalar(Variant):
    name = "analytic_scalar"
    source = "Bao 2022a; Su 2022a"
    look = ("#56B4E9", "^")
    assumes = "perfect mean"
    moments = ("eps_sq_mean",)
    has_optimal_trajectory = True
    edge_moments = moments

    def spectrum(self, seen: Seen) -> float:
        return 1 - seen.moments["eps_sq_mean"]

    def edge_costs(
        self, process: Process, moments: Mapping[str, np.ndarray]
    ) -> Float64[np.ndarray, "steps steps"]:
        """J(s, t) = log(σ²_{s|t}/λ²_{s|t}) per coordinate, with Σ_0 not clipped, and τ_1 = 1 (Bao
        et al. 2022a, section 4).

        Infinite where σ² ≤ 0, which is beyond `last_sound_step`.
        """
        N = process.schedule.N
        cost = np.full((N + 1, N + 1), np.inf)
        cost[0, 1] = 0.0
        for t in range(2, N + 1):
            s = np.arange(1, t)
            seen = Seen(t, process.schedule, moments=MomentsAt(moments, t, self))
            ratio = process.gamma(s, t) ** 2 * seen.scale / process.lambda_sq(s, t)
            excess = ratio * self.spectrum(seen)
            np.log1p(excess, out=cost[1:t, t], where=excess > -1)
        return cost

    def last_sound_step(self, process: Process, moments: Mapping[str, np.ndarray]) -> int | None:
        """The last step, at least 1, before E‖ε̂‖²/d is estimated above 1, which makes v negative;
        None if it never is.
        """
        for t in range(1, process.schedule.N + 1):
            if MomentsAt(moments, t, self)["eps_sq_mean"] > 1:
                return max(t - 1, 1)
        return None


class AnalyticDiagonal(Variant):
    name = "analytic_diagonal"
    source = "Su 2022b; Bao 2022b"
    look = ("#0072B2", "v")
    assumes = "perfect mean"
    moments = ("eps_sq",)

    def spectrum(self, seen: Seen) -> Float64[np.ndarray, " dim"]:
        return 1 - seen.moments["eps_sq"]
