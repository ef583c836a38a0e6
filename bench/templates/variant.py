"""E[(ε − ε̂)²], the same number for every coordinate: the maximum-likelihood variance.

Replace this text and the formula by yours. Say what v is, where its equation stands, and what it
assumes. With x_t = a_t x_0 + b_t ε, a variant is an estimate of v(x_t, t): the posterior
covariance of the data is (b_t²/a_t²) v, and σ² of the reverse step follows from it
(`bench.variant`).
"""

from bench.covariance import Seen, Variant


class MyVariant(Variant):
    # Name of the row, in params.yaml and in all tables. In its place a variant that takes a number
    # has a `family`, and an __init__ that takes the number: see bench/covariance/share.py.
    name = "my_variant"

    # The paper, as the column `source` of the tables shows it.
    source = "Author 2026"

    # What v assumes of the mean model ε̂: "perfect mean", or "imperfect mean" if v counts the errors
    # of ε̂ as variance too. `bench check variant` compares v with the truth under it. "nothing": v
    # is no estimate of the covariance, and is not compared.
    assumes = "imperfect mean"

    # The moments that `spectrum` reads: averages over the data at each step, estimated once and
    # saved. eps_sq is E[ε̂²] of each coordinate, and eps_sq_mean the mean of that over coordinates.
    # The others are error_sq (of ε − ε̂), x0_hat, x0_hat_sq, x0_error_sq, last_term and
    # total_variance: `bench.moments` says what they are. () if it reads none.
    moments = ("error_sq_mean",)

    # Whether v depends on x_t, as on `seen.eps_hat`. Then `spectrum` returns (batch, dim), or
    # (batch, 1) for one number for each image.
    conditional = False

    # The basis in which v is diagonal: "pixel", or another one that `basis` returns, as in
    # bench/covariance/dct.py.
    frame = "pixel"

    # The families of processes that it is defined for; ("ddpm",) or ("ddim",) for one of them.
    processes = ("ddpm", "ddim")

    # Colour and marker of its curves, such as ("#0072B2", "o"). None: the figures choose them. A
    # variant of the benchmark itself has a pair that no other has.
    look = None

    # Raise it if you change the formula: then what depends on it is computed again.
    version = 1

    def spectrum(self, seen: Seen) -> float:
        # A number, or (dim,) for one of each coordinate. `bench.variant.Seen` lists what there is.
        return seen.moments["error_sq_mean"]
