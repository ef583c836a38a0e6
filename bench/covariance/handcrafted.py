"""The handcrafted variances: nothing is estimated.

`beta_tilde` (DDPM) and `zero` (DDIM) take v = 0, so that σ² = λ²: the posterior variance of a single data
point. `beta` takes σ² = β_{t|s}, the posterior variance of white noise. Ho et al. 2020; Song et al. 2020.
"""

import numpy as np

from bench.covariance import Variant


class BetaTilde(Variant):
    name = "beta_tilde"
    source = "Ho 2020"
    processes = ("ddpm",)

    def v(self, t, moments, eps_hat, head):
        return np.zeros((1, 1))


class Zero(BetaTilde):
    name = "zero"
    source = "Song 2020a"
    processes = ("ddim",)


class Beta(BetaTilde):
    name = "beta"

    def variance(self, process, s, t, data_variance):
        return process.schedule.skip_beta(s, t) + 0.0 * data_variance

    def edge_costs(self, process, radius, moments):
        """F(s, t): the term KL(q(x_s | x_t, x_0) ‖ p(x_s | x_t)) of the bound on the training set, in nats.

        For a state-independent variance it is linear in E‖x_0 − x̂_0‖², so the moments give every edge
        (Watson et al. 2021; Bao et al. 2022a, Appendix H).
        """
        steps = np.arange(process.schedule.N + 1)
        s, t = steps[1:, None], steps[None, 1:]
        with np.errstate(divide="ignore", invalid="ignore"):  # s ≥ t is no edge
            sigma_sq = process.schedule.skip_beta(s, t)
            ratio = process.lambda_sq(s, t) / sigma_sq
            error = moments["x0_error_sq"][1:].sum(axis=1)
            dim = moments["x0_error_sq"].shape[1]
            cost = 0.5 * (dim * (ratio - np.log(ratio) - 1) + process.gamma(s, t) ** 2 * error / sigma_sq)
        return np.pad(cost, ((1, 0), (1, 0)), constant_values=np.inf)
