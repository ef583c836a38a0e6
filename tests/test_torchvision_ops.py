"""torchvision imports beside this torch, in a fresh process."""

import subprocess
import sys


def test_torchvision_imports():
    declare = "torchvision_ops.declare(); " * 2
    code = f"from bench import torchvision_ops; {declare} import torchvision, torch_fidelity"
    subprocess.run([sys.executable, "-c", code], check=True)
