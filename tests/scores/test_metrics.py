"""Metrics against torch-fidelity and brute force; standard errors against replication."""

import numpy as np
import pytest
import torch

from bench import scores
from bench.runtime import imports
from bench.runtime.errors import BenchError
from bench.scores import frechet, kid, neighbours, recall
from bench.scores.reference import Reference
from bench.scores.samples import Samples

RANDOM = np.random.default_rng(0)


def gaussian(count, shift=0.0, scale=1.0, dim=5, random=RANDOM):
    return shift + scale * random.normal(size=(count, dim)) @ np.triu(np.ones((dim, dim))) / 2


def of(rows):
    return Reference(frechet.fitted(rows), rows)


def scored(rows, reference, metric, resamples, names=(0, "test")):
    """Logits are the features plus 1, a constant that no score of them may depend on."""
    return scores.get(metric).compute(Samples(rows, rows + 1, reference, resamples, names))


def test_kid_is_the_unbiased_mmd_of_the_cubic_kernel():
    """A subset is half of a set, drawn at random; the mean over all halves is the U-statistic."""
    x, y = gaussian(40), gaussian(40, 1.0)
    kernel = lambda a, b: (a @ b.T / 5 + 1) ** 3
    off = lambda k: (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
    exact = off(kernel(x, x)) + off(kernel(y, y)) - 2 * kernel(x, y).mean()
    value, stderr = scored(x, of(y), "kid", 2000)
    assert value == pytest.approx(exact, abs=4 * stderr / np.sqrt(2000) + 1e-9)


@pytest.mark.parametrize("part", [7, 1000])
def test_precision_and_recall_are_torch_fidelitys(part, monkeypatch):
    imports.declare_torchvision()
    from torch_fidelity.metric_prc import prc_features_to_metric

    monkeypatch.setattr(neighbours, "PART", part)
    rows, reference = gaussian(120, 0.7, 0.8), gaussian(200)
    expected = prc_features_to_metric(
        torch.from_numpy(rows), torch.from_numpy(reference), verbose=False
    )
    assert 0.5 < expected["precision"] < 1 and 0.1 < expected["recall"] < 0.95
    assert scored(rows, of(reference), "precision", 3)[0] == pytest.approx(
        expected["precision"], abs=1e-6
    )
    assert scored(rows, of(reference), "recall", 3)[0] == pytest.approx(
        expected["recall"], abs=1e-6
    )


def test_inception_score_is_the_papers():
    """exp E KL(p(y|x) ‖ p(y)), the mean over 10 parts.

    Of one-hot predictions it is the exponential of the entropy of the classes in a part.
    """
    logits = 1e3 * np.eye(5)[np.arange(400) % 5]
    value, stderr = scored(logits, of(logits), "isc", 3)
    p = [
        np.bincount(chosen, minlength=5) / 40
        for chosen in np.arange(400)[fidelity_order(400)].reshape(10, 40) % 5
    ]
    exact = [np.exp(-sum(share * np.log(share) for share in part if share)) for part in p]
    assert value == pytest.approx(np.mean(exact), rel=1e-9)
    assert stderr == pytest.approx(np.std(exact, ddof=1) / np.sqrt(10), rel=1e-6)


def fidelity_order(count):
    """The order that torch-fidelity shuffles into, from the seed that the names give."""
    from bench import noise

    seed = int(noise.generator(0, "test", "isc").integers(2**31))
    return np.random.RandomState(seed).permutation(count)


@pytest.mark.parametrize(
    "metric, shift, scale",
    [
        ("fid", 0.7, 1.0),
        ("kid", 0.7, 1.0),
        ("fid", 0.3, 0.9),
        ("precision", 0.3, 0.9),
        ("recall", 0.3, 0.9),
        ("isc", 0.3, 0.9),
    ],
)
def test_standard_errors_are_the_spread_over_fresh_samples(metric, shift, scale):
    reference = of(gaussian(1500))
    random = np.random.default_rng(1)
    values = [
        scored(gaussian(300, shift, scale, random=random), reference, metric, 2, (0, "r"))[0]
        for _ in range(60)
    ]
    stderrs = [
        scored(gaussian(300, shift, scale, random=random), reference, metric, 60, (0, index))[1]
        for index in range(3)
    ]
    # The spread of 60 values is known to 1/√120 = 9 %, the mean of three of 60 replicates to 5 %,
    # that of three of the inception score's 10 parts to 14 %.
    assert np.mean(stderrs) == pytest.approx(np.std(values, ddof=1), rel=0.4)


def twins(random):
    """Two sets of samples that share most of their noise, as those of two variants do."""
    rows = gaussian(300, random=random)
    return rows + 0.7, 1.05 * rows + 0.7 + 0.2 * random.normal(size=rows.shape)


def test_a_paired_difference_of_fid_has_the_spread_over_fresh_pairs():
    """And far less than the two standard errors say; 9 %, 5 % as above."""
    reference, random = of(gaussian(1500)), np.random.default_rng(1)
    fid = scores.get("fid")

    def score(rows, resamples, name):
        seen = Samples(rows, None, reference, resamples, (0, name))
        return (*fid.compute(seen), np.array(fid.replicates(seen)))

    pairs = [[score(rows, 2, "r") for rows in twins(random)] for _ in range(60)]
    spread = np.std([one[0] - other[0] for one, other in pairs], ddof=1)
    errors, unpaired = [], []
    for index in range(3):
        one, other = (score(rows, 60, index) for rows in twins(random))
        errors.append(np.std(one[2] - other[2], ddof=1))
        unpaired.append(np.hypot(one[1], other[1]))
    assert np.mean(errors) == pytest.approx(spread, rel=0.4)
    assert np.mean(unpaired) > 3 * spread


def test_a_set_paired_with_itself_differs_by_nothing():
    """And the resamples of a set of as many images are of the same images."""
    rows, reference = gaussian(40), of(gaussian(50))
    fid, names = scores.get("fid"), (0, "test")
    first, again = (Samples(rows, None, reference, 5, names) for _ in range(2))
    assert fid.replicates(first) == fid.replicates(again)
    assert fid.compute(first)[1] == np.std(fid.replicates(first), ddof=1)
    assert scores.get("kid").replicates(first) is None


def test_kid_of_small_subsets_has_the_error_of_the_whole(monkeypatch):
    """Where halves would be too large; the spread is over fresh samples of both sets."""
    monkeypatch.setattr(kid, "SUBSET", 60)
    random, reference = np.random.default_rng(1), of(gaussian(300))
    values = [
        scored(
            gaussian(300, 0.7, random=random), of(gaussian(300, random=random)), "kid", 40, (0, "r")
        )[0]
        for _ in range(80)
    ]
    stderrs = [
        scored(gaussian(300, 0.7, random=random), reference, "kid", 40, (0, index))[1]
        for index in range(4)
    ]
    assert np.mean(stderrs) == pytest.approx(np.std(values, ddof=1), rel=0.4)


def test_recall_has_no_error_where_its_distances_do_not_fit(monkeypatch):
    monkeypatch.setattr(recall, "PAIRS", 49 * 50)
    assert scored(gaussian(49), of(gaussian(51)), "recall", 3)[1] is None
    assert scored(gaussian(49), of(gaussian(50)), "recall", 3)[1] > 0


def test_too_few_images():
    with pytest.raises(BenchError, match="samples.count: expected at least 4 images"):
        scored(gaussian(3), of(gaussian(10)), "fid", 3)


@pytest.mark.parametrize("metric", ["fid", "kid", "precision", "recall", "isc"])
def test_the_fewest_images(metric):
    value, stderr = scored(gaussian(4), of(gaussian(4)), metric, 3)
    assert np.isfinite(value) and (stderr is None or stderr > 0)


@pytest.mark.parametrize(
    "metric, shift, share", [("precision", 0.0, 1.0), ("precision", 1e3, 0.0), ("recall", 1e3, 0.0)]
)
def test_a_share_that_nothing_changes_has_no_error(metric, shift, share):
    rows = gaussian(30)
    assert scored(rows + shift, of(rows), metric, 3) == (share, None)
