"""Types and shapes are checked while the tests run: a wrong one is caught where it is made."""

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from bench import mixture, noise, schedule


def test_a_wrong_shape_is_caught():
    with pytest.raises(TypeCheckError):
        mixture.Mixture.of(np.ones(2) / 2, np.zeros((2, 3)), np.zeros((2, 3, 4)))


def test_single_precision_is_caught():
    law = mixture.random((0,), 2, 3)
    oracle = mixture.Oracle(law, schedule.make("linear", 10))
    with pytest.raises(TypeCheckError):
        oracle.eps(torch.zeros(5, 3), 1)


def test_a_wrong_type_is_caught():
    with pytest.raises(TypeCheckError):
        noise.normal(("name",), 0, 4.0, 2)
