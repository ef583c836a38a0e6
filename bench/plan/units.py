"""Numbers and times as the tables of the plan show them."""

import math


def short(value: int | float, unit: str = "", sign: str = "") -> str:
    """`value` to two significant digits, in thousands, millions, …; '' for 0."""
    if not value:
        return ""
    value = float(f"{value:.2g}")
    power = min(max(int(math.log10(value)) // 3, 0), 5)
    return f"{sign}{value / 1000**power:g} {('', 'k', 'M', 'G', 'T', 'P')[power]}{unit}".rstrip()


def duration(seconds: int | float, sign: str = "") -> str:
    """A time to two significant digits, in seconds, minutes or hours."""
    units = {"h": 3600, "min": 60, "s": 1}
    unit = next((name for name, size in units.items() if seconds >= size), "s")
    value = float(f"{seconds / units[unit]:.2g}")
    return f"{sign}{value:,.0f} {unit}" if value >= 10 else f"{sign}{value:g} {unit}"
