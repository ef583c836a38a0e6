"""torchvision imports beside this torch, in a fresh process."""

import subprocess
import sys


def test_torchvision_imports():
    code = "from bench import torchvision_ops; torchvision_ops.declare(); torchvision_ops.declare(); import torchvision, torch_fidelity"
    subprocess.run([sys.executable, "-c", code], check=True)
