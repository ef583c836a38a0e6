"""Which cells a filter picks: the patterns of the key `only`.

The name of a cell is SETTING/PROCESS/VARIANT/TRAJECTORY/K<number>, as digits/ddpm/npr/even/K10. A
pattern is some of these parts in this order, with the wildcards of the shell: npr, ddim/*,
ddpm/mle_*/K10. A cell is picked if one of the patterns fits.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from bench.runtime.errors import BenchError, shown, unknown

FORM = "SETTING/PROCESS/VARIANT/TRAJECTORY/K10"


def split(value: object) -> object:
    """The list of patterns in a text, as Snakemake leaves `only=npr` and `only=[*_diagonal]`.

    Any other value is unchanged.
    """
    if not isinstance(value, str):
        return value
    return [pattern.strip() for pattern in value.strip("[] ").split(",")]


def parts(setting: str, process: str, variant: str, trajectory: str, K: int) -> tuple[str, ...]:
    """The parts of a cell's name."""
    return setting, process, variant, trajectory, f"K{K}"


def fits(pattern: str, cell: tuple[str, ...]) -> bool:
    """Whether the parts of a pattern fit parts of a cell's name, in order."""
    rest = iter(cell)
    return all(any(fnmatchcase(part, wanted) for part in rest) for wanted in pattern.split("/"))


def check(patterns: Iterable[str], cells: Iterable[tuple[str, ...]]) -> None:
    """BenchError for the first pattern that fits no cell."""
    cells = list(cells)
    names = {part for cell in cells for part in cell}
    for pattern in patterns:
        if any(fits(pattern, cell) for cell in cells):
            continue
        for part in pattern.split("/"):
            if not any(fnmatchcase(name, part) for name in names):
                raise unknown("name", part, names)
        raise BenchError(
            f"found {shown(pattern)}, whose parts are names, but of no one cell in this order; "
            f"expected some parts of {FORM}"
        )
