"""E[(ε − ε̂)² | x_t] of every coordinate, learned by regression: the noise prediction residual.

Replace this text, the loss and the formula by yours. Say what the head learns, where its equation
stands, and what it assumes. With x_t = a_t x_0 + b_t ε, a variant is an estimate of v(x_t, t): the
posterior covariance of the data is (b_t²/a_t²) v, and σ² of the reverse step follows from it
(`bench.variant`).
"""

from bench.covariance import Batch, Head, Seen, Variant, squared_error
from bench.process import Tensor


class MyVariant(Variant):
    # Name of the row, in params.yaml and in all tables. The head has the same name.
    name = "my_variant"

    # The paper, as the column `source` of the tables shows it.
    source = "Author 2026"

    # What v assumes of the mean model ε̂: "perfect mean", or "imperfect mean" if v counts the errors
    # of ε̂ as variance too. `bench check variant` trains the head and compares v with the truth
    # under it. "nothing": v is no estimate of the covariance, and is not compared.
    assumes = "imperfect mean"

    # v depends on x_t, as a head's output does.
    conditional = True

    # What is learned, on the frozen mean model. outputs: "pixel", a number for each coordinate, or
    # "image", as many as a method `numbers(self, shape)` says. steps: how training draws t,
    # "uniform" or "importance" (for a loss that is a term of the bound). products: how many
    # products with the Jacobian of the mean model the loss of an image takes.
    head = Head(outputs="pixel", steps="uniform", products=0)

    # The moments that `spectrum` reads beside the head, such as "error_sq_mean". `bench.moments`
    # says what they are.
    moments = ()

    # The basis in which v is diagonal: "pixel", or another one that `basis` returns, as in
    # bench/covariance/dct.py.
    frame = "pixel"

    # The families of processes that it is defined for; ("ddpm",) or ("ddim",) for one of them.
    processes = ("ddpm", "ddim")

    # Colour and marker of its curves, such as ("#0072B2", "o"). None: the figures choose them. A
    # variant of the benchmark itself has a pair that no other has.
    look = None

    # Raise it if you change the loss or the formula: then what depends on it is computed again.
    version = 1

    def loss(self, batch: Batch, output: Tensor) -> Tensor:
        # A number for each image, (batch,). `bench.heads.Batch` lists what there is. `output` is
        # that of the head, (batch, dim), and 0 before training.
        return squared_error(output, (batch.eps - batch.eps_hat) ** 2)

    def spectrum(self, seen: Seen) -> Tensor:
        # (batch, dim), or (batch, 1) for one number for each image. `seen.head` is the output of
        # the head; `bench.variant.Seen` lists what else there is. A v below 0 counts as 0.
        return seen.head
