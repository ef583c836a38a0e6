"""The variance of Improved DDPM: between β̃ and β on a logarithmic scale, by a network's choice (Nichol & Dhariwal 2021).

    log σ² = u log β_{t|s} + (1 − u) log β̃_{s|t},      u = (o + 1)/2

for the head's output o (their eq. 15; nothing keeps u in [0, 1], as in their code). The head is trained on the bound
itself (`bench.heads`). On the step to the data β̃ is zero; β̃_{1|2} stands in for it, as in theirs.
"""

from bench.covariance import Variant


class ImprovedDdpm(Variant):
    name = "improved_ddpm"
    source = "Nichol & Dhariwal 2021"
    processes = ("ddpm",)
    head = "improved_ddpm"

    def data_variance(self, t, schedule, radius, moments, eps_hat=None, head=None):
        """u: what the variance is made of is not a covariance of the data."""
        return (head + 1) / 2

    def variance(self, process, s, t, data_variance):
        made = process.schedule
        beta = made.skip_beta(s, t)
        tilde = made.beta_tilde(s, t) if s > 0 else min(beta, made.last_beta_tilde)
        return (
            tilde * (beta / tilde) ** data_variance
        )  # one power, where that of each end would be two
