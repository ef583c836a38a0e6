"""Types of configuration keys that sections, readers and checkpoint formats share."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from bench.runtime.errors import shown


def no_repeats(values: list) -> list:
    """`values` unchanged. ValueError if the list names something twice."""
    for value in values:
        if values.count(value) > 1:
            raise ValueError(
                f"expected no repetitions, found {shown(value)} {values.count(value)} times"
            )
    return values


def no_truth_value(value: Any) -> Any:
    """`value` unchanged. ValueError for true and false, which pydantic takes for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError(f"input should be a number, found {value}")
    return value


def of_a_file(name: str) -> str:
    """`name` unchanged. ValueError if it could be more than the name of a file or folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        raise ValueError(
            "expected a name of at most 100 letters, digits, - and _, of which the first is a "
            f"letter or a digit; found {shown(name)}"
        )
    return name


Name = Annotated[str, AfterValidator(of_a_file)]  # in results/, and in the workflow's commands
Count = Annotated[int, Field(strict=True, ge=1)]
Names = Annotated[list[str], Field(min_length=1), AfterValidator(no_repeats)]
Steps = Annotated[list[Count], Field(min_length=1), AfterValidator(no_repeats)]
Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(no_truth_value)]
Positive = Annotated[Number, Field(gt=0)]
