"""Scores of samples from their features: FID, KID, precision, recall and inception score, with standard errors.

A set of images passes the network once, and its features serve every score. Standard errors are over fresh samples, the
reference staying as it is, except for KID, which draws from both:

* FID: standard deviation over bootstrap resamples of the images.
* KID: over random subsets of m of the n images, which for a mean is √(n/m − 1) times that of the whole (the delete-d
  jackknife of Shao & Wu 1989; 1 for halves), and the error of a mean over that many subsets beside it. It is too large
  where samples and reference hardly differ, as KID is no mean of its images then.
* precision (Kynkäänniemi et al. 2019): a share p of independent images, √(p (1 − p)/n).
* recall: over random halves, as for KID; none where the distances do not fit into memory. Nor is there one where no
  replicate differs, as where a share is 0 or 1: it would be 0, which it is not.
* inception score (Salimans et al. 2016): a mean over disjoint tenths, whose spread tells its error.
"""

import math

import numpy as np
import torch

from bench import noise
from bench.runtime import imports
from bench.runtime.errors import BenchError
from bench.scores import frechet

BATCH = 128  # images that are given to an extractor together
SUBSET = 1000  # images of the subsets behind KID at most, as published
SPLITS = 10  # parts behind the inception score at most, as published
NEIGHBOUR = (
    3  # whose distance is the radius of an image's ball, for precision and recall, as published
)
PART = 1000  # images whose distances to all others are held together
PAIRS = 10**8  # distances that are held for the standard error of recall at most, 400 MB


def features(extractor, images, levels, done=lambda count: None):
    """{"features": (n, d)}, and "logits" where the extractor has a last layer, of images (n, channels, h, w), in one pass.

    Integer levels are shown to the extractor as 0..255, continuous data (levels None) as they are; it runs where it is.
    done: called with the number of images after every batch.
    """
    device = next((parameter.device for parameter in extractor.parameters()), torch.device("cpu"))
    found = []
    with torch.inference_mode():
        for first in range(0, len(images), BATCH):
            shown = torch.from_numpy(_shown(images[first : first + BATCH], levels)).to(device)
            found.append([layer.cpu() for layer in extractor(shown)])
            done(len(shown))
    return {
        kind: torch.cat(parts).numpy()
        for kind, parts in zip(("features", "logits"), zip(*found, strict=True), strict=False)
    }


def _shown(images, levels):
    """Levels as uint8 in 0..255; continuous data as they are."""
    return (
        np.array(images)
        if levels is None
        else np.rint(images * (255 / (levels - 1))).astype(np.uint8)
    )


def score(found, reference, metrics, resamples, names):
    """{metric: (value, standard error or None)} of what `features` returned for n ≥ 4 images.

    reference: `bench.scores.reference.Reference`; metrics: of 'fid', 'kid', 'precision', 'recall', and 'isc', which needs the
    logits, as all but 'fid' and 'isc' need the features of the reference; resamples: replicates behind the standard errors;
    names: root of their draws.
    """
    rows = found["features"]
    if len(rows) < NEIGHBOUR + 1:
        raise BenchError(
            f"samples.count: expected at least {NEIGHBOUR + 1} images for FID and KID, found {len(rows)}"
        )
    scores = {}
    if "fid" in metrics:
        scores["fid"] = fid(rows, reference.gaussian, resamples, names)
    if "kid" in metrics:
        scores["kid"] = kid(rows, reference.features, resamples, names)
    if "precision" in metrics:
        scores["precision"] = precision(rows, reference.features, reference.radii)
    if "recall" in metrics:
        scores["recall"] = recall(rows, reference.features, resamples, names)
    if "isc" in metrics:
        scores["isc"] = isc(found["logits"], names)
    return {metric: scores[metric] for metric in metrics}


def fid(found, reference, resamples, names):
    """Fréchet distance of features (n, d) from a `bench.scores.frechet.Gaussian`, and its bootstrap standard error."""
    distances = frechet.Distances(found, reference)
    replicates = frechet.bootstrap(distances, resamples, noise.generator(*names, "bootstrap"))
    return distances(), float(np.std(replicates, ddof=1))


def kid(found, reference, resamples, names):
    """Unbiased polynomial-kernel MMD² (Bińkowski et al. 2018), the mean over `resamples` subsets, and its standard error.

    The subsets are halves of the smaller set, or of `SUBSET` images where that is less.
    """
    imports.declare_torchvision()
    from torch_fidelity.metric_kid import kid_features_to_metric

    seed = int(noise.generator(*names, "kid").integers(2**31))
    n = min(len(found), len(reference))
    size = min(n // 2, SUBSET)
    result = kid_features_to_metric(
        _double(found),
        _double(reference),
        kid_subsets=resamples,
        kid_subset_size=size,
        rng_seed=seed,
        verbose=False,
    )
    of_whole = size / (n - size) + 1 / resamples
    return result["kernel_inception_distance_mean"], result[
        "kernel_inception_distance_std"
    ] * math.sqrt(of_whole)


def _double(array):
    """A float64 tensor in memory of torch's own: the last bits of MKL's sums depend on how an array is aligned."""
    return torch.tensor(np.asarray(array), dtype=torch.float64)


def radii(features):
    """Distance of each of n features from its `NEIGHBOUR`-th nearest one, float64 tensor (n,)."""
    points = _double(features)
    return torch.cat(
        [torch.cdist(part, points).kthvalue(NEIGHBOUR + 1).values for part in points.split(PART)]
    )


def precision(found, reference, reference_radii):
    """Share of `found` within the balls around the reference's features, and its standard error."""
    share = _covered(_double(found), _double(reference), reference_radii)
    return share, math.sqrt(share * (1 - share) / len(found)) or None


def recall(found, reference, resamples, names):
    """Share of the reference's features within the balls around `found`, and its standard error over halves of `found`."""
    points, reference = _double(found), _double(reference)
    share = _covered(reference, points, radii(found))
    n = len(found)
    if n * max(n, len(reference)) > PAIRS:
        return share, None
    among, across = torch.cdist(points, points).float(), torch.cdist(reference, points).float()
    random, shares = noise.generator(*names, "recall"), []
    for _ in range(resamples):
        half = torch.from_numpy(random.permutation(n)[: n // 2])
        balls = among[half][:, half].kthvalue(min(NEIGHBOUR + 1, len(half))).values
        shares.append((across[:, half] <= balls).any(1).double().mean().item())
    size = n // 2
    return share, float(np.std(shares, ddof=1)) * math.sqrt(size / (n - size)) or None


def _covered(points, centres, balls):
    """Share of `points` that lie within one of the balls around `centres`."""
    inside = [(torch.cdist(part, centres) <= balls).any(1) for part in points.split(PART)]
    return torch.cat(inside).double().mean().item()


def isc(logits, names):
    """Inception score of logits (n, classes), the mean over disjoint parts of them, and its standard error."""
    imports.declare_torchvision()
    from torch_fidelity.metric_isc import isc_features_to_metric

    seed = int(noise.generator(*names, "isc").integers(2**31))
    splits = min(SPLITS, len(logits) // 2)
    result = isc_features_to_metric(torch.tensor(np.asarray(logits)), splits, True, seed)
    return result["inception_score_mean"], result["inception_score_std"] / math.sqrt(splits - 1)
