"""The variant `my_variant`: its loss and formula on numbers, and the contract of a variant."""

import numpy as np
import torch

from bench import covariance, process, schedule
from bench.covariance import Seen
from bench.data.dataset import Data
from bench.heads import Batch
from bench.theory import contract

VARIANT = covariance.get("my_variant")
LINEAR = schedule.make("linear", N=10)
IMAGES = np.zeros((1, 1, 1, 2), dtype=np.uint8)  # one of two pixels
DATA = Data("two pixels", IMAGES, IMAGES, 256, None, None, "")


def test_the_loss():
    """ε − ε̂ is (1, −2), with the squares 1 and 4. The head says 0.5 and 3: 0.5² + 1² = 1.25."""
    eps = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    eps_hat = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    x_0, t = torch.zeros_like(eps), torch.tensor([3])
    x_t = LINEAR.noise[3] * eps
    forward = process.make("ddpm", LINEAR)
    batch = Batch(x_0, eps, x_t, t, eps_hat, forward, DATA, (0, "test"))
    output = torch.tensor([[0.5, 3.0]])
    assert VARIANT.loss(batch, output).tolist() == [1.25]


def test_the_formula():
    """v is what the head says."""
    output = torch.tensor([[0.5, 0.25]])
    seen = Seen(3, LINEAR, head=output)
    assert VARIANT.spectrum(seen).tolist() == [[0.5, 0.25]]


def test_it_keeps_the_contract():
    """Every claim of `bench check variant` holds, on a mixture with a known answer."""
    rows = contract.check(VARIANT.name)
    assert [row["claim"] for row in rows if not row["verdict"]] == []
