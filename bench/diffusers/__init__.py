"""A variant as a scheduler of diffusers, and a U-Net that gives it what it reads.

`make_pipeline` turns a mean model and a variant into a DDPMPipeline. Its `ReverseScheduler` takes
the steps of one trajectory, each as `bench.sampler.step` does: so its samples are those of the
harness. The U-Net is a UNet2DModel, if the variant reads ε̂ alone. Otherwise it is a `ReverseUNet`:

* A head's numbers follow the prediction in the output, as more channels, as in diffusers' networks
  that learn a variance.
* Products with the Jacobian are derivatives of the output by the input. The U-Net keeps what these
  need, and the scheduler takes them.

A pipeline that was saved is loaded in any process that has imported this module: diffusers imports
no module because a folder names it.
"""

from collections.abc import Sequence

from bench.denoiser import Denoiser
from bench.diffusers.scheduler import ReverseScheduler, make_scheduler
from bench.diffusers.unet import ReverseUNet, make_unet
from bench.process import Process
from bench.runtime import imports

imports.declare_torchvision()

from diffusers import DDPMPipeline  # noqa: E402

__all__ = ["ReverseScheduler", "ReverseUNet", "make_pipeline", "make_scheduler", "make_unet"]


def make_pipeline(
    denoiser: Denoiser,
    process: Process,
    variant: str,
    steps: Sequence[int],
    clip_levels: float | None = None,
) -> DDPMPipeline:
    """A pipeline of the network of `denoiser` that samples with a variant.

    denoiser: with the moments and the head that the variant reads. Its network moves to the
    pipeline. steps, clip_levels: as of `make_scheduler`. BenchError if the mean model is no
    UNet2DModel.
    """
    scheduler = make_scheduler(denoiser, process, variant, steps, clip_levels)
    return DDPMPipeline(make_unet(denoiser, scheduler.variant), scheduler)
