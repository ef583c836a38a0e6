"""diffusers, torch-fidelity, clean-fid import beside a torch that torchvision is not built for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import bench

PACKAGES = ("diffusers", "torch_fidelity", "cleanfid", "torchvision")
MODULES = sorted(Path(bench.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize(
    "statement",
    [
        "from diffusers import UNet2DModel",
        "import torch_fidelity",
        "from cleanfid.resize import build_resizer",
        "import torchvision",
    ],
)
def test_each_package_can_be_imported_in_a_fresh_process(statement):
    code = f"""
from bench.runtime import imports
imports.declare_torchvision()
imports.declare_torchvision()  # a second time changes nothing
{statement}
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def undeclared(tree):
    """Lines that import one of `PACKAGES` with no declaration before them in the same function, or
    at the top of the module.
    """
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    declared = {}
    for function in functions:
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and "declare_torchvision" in ast.unparse(node.func):
                declared[function] = min(node.lineno, declared.get(function, node.lineno))
    for node in tree.body:
        if isinstance(node, ast.Expr) and "declare_torchvision" in ast.unparse(node):
            declared[tree] = min(node.lineno, declared.get(tree, node.lineno))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        if any(name.split(".")[0] in PACKAGES for name in names):
            around = [function for function in declared if node in ast.walk(function)]
            if not any(declared[function] < node.lineno for function in around):
                yield node.lineno


def test_nobody_forgets_the_declaration():
    for path in MODULES:
        assert not list(undeclared(ast.parse(path.read_text()))), path


def test_a_forgotten_declaration_is_found():
    declared = "def f():\n    imports.declare_torchvision()\n    from diffusers import UNet2DModel"
    assert not list(undeclared(ast.parse(declared)))
    forgotten = "def f():\n    from diffusers import UNet2DModel\n    imports.declare_torchvision()"
    assert list(undeclared(ast.parse(forgotten))) == [2]
    on_top = "imports.declare_torchvision()\nfrom diffusers import UNet2DModel"
    assert not list(undeclared(ast.parse(on_top)))
    too_late = "from diffusers import UNet2DModel\nimports.declare_torchvision()"
    assert list(undeclared(ast.parse(too_late))) == [1]
    assert list(undeclared(ast.parse("import torch_fidelity"))) == [1]


def test_reading_the_configuration_imports_no_torch():
    code = "import bench.experiment.loading, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
