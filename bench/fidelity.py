"""FID and KID of samples against the training set, through torch-fidelity, with standard errors.

Features are extracted once for each set of images. The standard error of FID is the standard deviation over
bootstrap resamples of the generated images (the reference stays as it is); that of KID is the standard deviation
over random half samples, which for a half sample equals the standard error of the whole (Efron 1982, section 8).
"""

import numpy as np
import torch

from bench import noise, torchvision_ops
from bench.errors import BenchError


def features(extractor, levels_images, levels, batch=512):
    """float64 (n, features) of images (n, channels, h, w): uint8 levels are shown to the extractor as 0..255, others as are."""
    torchvision_ops.declare()
    from torch_fidelity.utils import get_featuresdict_from_dataset

    dataset = _Images(levels_images, levels)
    found = get_featuresdict_from_dataset(dataset, extractor, batch, cuda=False, save_cpu_ram=True, verbose=False)
    return found[extractor.get_requested_features_list()[0]].to(torch.float64)


class _Images(torch.utils.data.Dataset):
    """Level images as the uint8 tensors in 0..255 that torch-fidelity's extractors take; continuous data as they are."""

    def __init__(self, images, levels):
        self.images, self.levels = images, levels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if self.levels is None:
            return torch.from_numpy(np.array(self.images[index]))
        return torch.from_numpy(np.rint(self.images[index] * (255 / (self.levels - 1))).astype(np.uint8))


def score(found, reference, metrics, resamples, names):
    """{metric: (value, standard error)} of features `found` against features `reference`.

    metrics: of 'fid', 'kid'; resamples: replicates behind the standard errors; names: root of their draws.
    """
    if len(found) < 4:
        raise BenchError(f"samples.count: expected at least 4 images for FID and KID, found {len(found)}")
    scorers = {"fid": fid, "kid": kid}
    return {metric: scorers[metric](found, reference, resamples, names) for metric in metrics}


def fid(found, reference, resamples, names):
    """Fréchet distance of the Gaussians fitted to the features (Heusel et al. 2017), and its bootstrap standard error."""
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    target = fid_features_to_statistics(reference)

    def distance(sample):
        return fid_statistics_to_metric(fid_features_to_statistics(sample), target, False)["frechet_inception_distance"]

    random = noise.generator(*names, "bootstrap")
    replicates = [distance(found[random.integers(len(found), size=len(found))]) for _ in range(resamples)]
    return distance(found), float(np.std(replicates, ddof=1))


def kid(found, reference, resamples, names):
    """Unbiased polynomial-kernel MMD² (Bińkowski et al. 2018), the mean over half samples, and its standard error."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    seed = int(noise.generator(*names, "kid").integers(2**31))
    size = min(len(found), len(reference)) // 2
    result = kid_features_to_metric(found, reference, kid_subsets=resamples, kid_subset_size=size,
                                    rng_seed=seed, verbose=False)
    return result["kernel_inception_distance_mean"], result["kernel_inception_distance_std"]
