"""The law of total variance: the variance of the data less the variance of their prediction.

If the mean is perfect, E Cov[x_0 | x_t] = Var[x_0] − Var[x̂_0(x_t)]. So v = (a_t²/b_t²)(Var[x_0] −
E‖x̂_0 − E x_0‖²/d) (Su 2022a, estimate 1). At small t the two variances are nearly equal, and
a_t²/b_t² is huge. So of all variants this one suffers most from an imperfect mean. `bench.moments`
says how the Monte Carlo error of the difference is kept small.
"""

from bench.covariance import Seen, Variant


class TotalVariance(Variant):
    name = "total_variance"
    source = "Su 2022a"
    look = ("#332288", "<")
    assumes = "perfect mean"
    moments = ("total_variance_mean",)

    def spectrum(self, seen: Seen) -> float:
        return seen.moments["total_variance_mean"]
