"""The README's example variant is run as it stands there."""

import re

import numpy as np

from bench import covariance
from tests.helpers.runs import ROOT


def test_the_example_variant_works(monkeypatch):
    monkeypatch.setattr(covariance, "VARIANTS", dict(covariance.VARIANTS))
    code = re.search(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL
    ).group(1)
    exec(code, {})
    moments = {
        "eps_sq": np.array([[0.0, 0.0], [0.2, 0.6]]),
        "error_sq": np.array([[0.0, 0.0], [0.5, 0.7]]),
    }
    variant = covariance.check("halfway", "ddim", [])
    seen = covariance.Seen(1, None, moments=covariance.MomentsAt(moments, 1, variant))
    np.testing.assert_allclose(variant.spectrum(seen), (0.6 + 0.6) / 2)
