"""`bench new`: a commented file to start from, and its test."""

import keyword
import os
import shlex
import sys
from pathlib import Path

import click

from bench.cli import options
from bench.runtime.errors import BenchError

FOLDER, TESTS = Path("bench/covariance"), Path("tests/covariance")  # of a clone


@click.group(epilog="Example: bench new variant mine --learned")
def new() -> None:
    """Write a file to start from, and its test: `bench new variant NAME`."""


@options.command("bench new variant mine --learned")
@click.argument("name")
@click.option("--learned", is_flag=True, help="One that has a head and a loss.")
@click.option(
    "--into",
    metavar="FOLDER",
    show_default="bench/covariance/ and tests/covariance/ of the clone",
    help="A folder of your own for both files.",
)
def variant(name: str, learned: bool, into: str | None) -> None:
    """Write a variant that works, with a comment for each attribute, and its test.

    NAME is that of the row in params.yaml, and of the file. The last two lines of the output are
    commands that check what was written.
    """
    from bench.runtime import files

    class_name = _class_name(name)
    if into is None:
        _check_clone()
        file, test, reference = FOLDER / f"{name}.py", TESTS / f"test_{name}.py", name
    else:
        _check_module(name)
        file, test = Path(into, f"{name}.py"), Path(into, f"test_{name}.py")
        reference = f"{name}:{class_name}"
    for path in (file, test):
        if os.path.lexists(path):
            raise BenchError(f"{path}: exists already; expected the name of a new variant")
    kind = "learned_variant" if learned else "variant"
    words = {
        'get("my_variant")': f'get("{reference}")',
        "my_variant": name,
        "MyVariant": class_name,
    }
    files.write_text(file, _filled(f"{kind}.py", words))
    files.write_text(test, _filled(f"test_{kind}.py", words))
    click.echo(f"bench new variant: wrote {file} and {test}")
    click.echo(f"In `variants` of params.yaml or of an overlay it is {reference}. To check it:")
    click.echo(f"{_path_of(into)}bench check variant {reference}")
    click.echo(f"python -m pytest -q {shlex.quote(str(test))}")


new.add_command(variant)


def _class_name(name):
    """The name of the class of a variant. BenchError unless `name` can be that of a new one."""
    from bench import covariance

    if not (name.isascii() and name.isidentifier() and name[0] != "_") or keyword.iskeyword(name):
        raise BenchError(
            f"NAME: expected letters, digits and _ with a letter first, and no word of Python, "
            f"found {name!r}"
        )
    if name in covariance.VARIANTS or name in covariance.FAMILIES:
        raise BenchError(f"NAME: there is a variant {name!r} already; expected another name")
    class_name = "".join(part[:1].upper() + part[1:] for part in name.split("_"))
    if hasattr(covariance, class_name):
        raise BenchError(
            f"NAME: {name!r} would be a class {class_name}, which bench.covariance has already; "
            "expected another name"
        )
    return class_name


def _check_clone():
    """BenchError unless the working folder is a clone, and the one that this command is from."""
    import bench

    if not (FOLDER.is_dir() and TESTS.is_dir()):
        raise BenchError(
            f"{FOLDER}: no such folder in {Path.cwd()}; start the command in the clone, or name a "
            "folder of your own: --into FOLDER"
        )
    package = Path(bench.__file__).parent
    if package.resolve() != FOLDER.parent.resolve():
        raise BenchError(
            f"{FOLDER}: this command is from {package}, and would not find a file here; type: "
            "pip install --editable ."
        )


def _check_module(name):
    """BenchError if Python would import another module by this name."""
    import importlib.util

    if name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None:
        raise BenchError(f"NAME: there is a module {name!r} already; expected another name")


def _path_of(into):
    """The words before a command that imports a module from the folder `into`, if there is one."""
    if into is None:
        return ""
    places = [str(Path(into).resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    return f"PYTHONPATH={shlex.quote(os.pathsep.join(places))} "


def _filled(template, words):
    """The text of a file of bench/templates/, with other words."""
    from importlib import resources

    text = resources.files("bench").joinpath("templates", template).read_text(encoding="utf-8")
    for old, word in words.items():
        text = text.replace(old, word)
    return text
