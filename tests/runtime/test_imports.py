"""What is imported beside this torch and what is left out, each in a fresh process."""

import subprocess
import sys

import pytest

LEFT_OUT = """
import sys
from bench.runtime import imports

def loaded():
    return [name for name in imports.STAND_INS if name in sys.modules]

"""


def run(code):
    subprocess.run([sys.executable, "-c", LEFT_OUT + code], check=True)


def test_torchvision_imports():
    run(
        "imports.declare_torchvision(); imports.declare_torchvision(); import torchvision, torch_fidelity"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "from diffusers.models.unets.unet_2d import UNet2DModel",
        "import torch_fidelity",
        "from diffusers.optimization import get_cosine_schedule_with_warmup",
        "import torch; torch.optim.Adam([torch.ones(1)]).step()",
        "from cleanfid.resize import build_resizer",
    ],
)
def test_nothing_slow_comes_with(statement):
    run(f"""
with imports.light():
    {statement}
assert not loaded(), loaded()
""")


def test_a_network_is_made_saved_read_and_moved_without_it(tmp_path):
    run(f"""
from bench.mean import train
from bench.mean.storage import read_unet
blocks = dict(down_block_types=["DownBlock2D"] * 2, up_block_types=["UpBlock2D"] * 2)
options = dict(block_out_channels=(8, 8), norm_num_groups=4, **blocks)
train.make_unet(options, (1, 8, 8)).save_pretrained({str(tmp_path)!r})
read_unet({str(tmp_path)!r}).to("cpu")
assert not loaded() and "torchvision" not in sys.modules, loaded()
""")


def test_what_is_left_out_works_afterwards():
    run("""
UNet2DModel = imports.unet_2d()
import scipy, torch
from scipy.stats import norm
assert scipy.stats.norm.cdf(0) == norm.cdf(0) == 0.5
from torchvision.ops.roi_align import is_compile_supported
assert is_compile_supported("cpu") is torch._dynamo.utils.is_compile_supported("cpu")
from diffusers.models.unets import UNet2DConditionModel
import diffusers.models
assert diffusers.UNet2DModel is diffusers.models.unets.UNet2DModel is UNet2DModel
unet = UNet2DModel(sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 8), layers_per_block=1,
                   norm_num_groups=4, down_block_types=["DownBlock2D", "AttnDownBlock2D"], attention_head_dim=4,
                   up_block_types=["AttnUpBlock2D", "UpBlock2D"]).eval()
images = torch.ones(1, 1, 8, 8)
with torch.inference_mode():
    assert torch.allclose(torch.compile(unet, backend="eager")(images, 1).sample, unet(images, 1).sample)
""")


def test_what_is_used_within_is_imported():
    run("""
with imports.light():
    import scipy.stats, torch._dynamo
    from torch._dynamo.utils import is_compile_supported
    assert scipy.stats.norm.cdf(0) == 0.5 and torch._dynamo.config
    from torch._dynamo import utils
assert loaded() == ["torch._dynamo", "torch._dynamo.utils", "scipy.stats"]
assert all(sys.modules[name].__file__ for name in loaded()) and torch._dynamo.utils is utils
""")


def test_what_is_there_already_stays():
    run("""
import scipy.stats as before
with imports.light():
    assert sys.modules["scipy.stats"] is before
assert sys.modules["scipy.stats"] is before
""")


def test_nested_it_ends_with_the_outermost():
    run("""
with imports.light():
    with imports.light():
        import scipy.stats
    assert loaded() == ["scipy.stats"]
    import torch._dynamo
    assert loaded() == ["torch._dynamo", "scipy.stats"]
assert not loaded(), loaded()
""")


def test_no_stand_in_survives_a_failed_import():
    run("""
try:
    with imports.light():
        import no_such_module
except ModuleNotFoundError:
    assert not loaded(), loaded()
else:
    raise AssertionError
""")
