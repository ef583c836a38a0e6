"""Types of configuration keys that sections, readers and checkpoint formats share."""

from typing import Annotated

from pydantic import AfterValidator, Field


def no_repeats(values: list) -> list:
    """`values` unchanged. ValueError if the list names something twice."""
    for value in values:
        if values.count(value) > 1:
            raise ValueError(
                f"expected no repetitions, found {value!r} {values.count(value)} times"
            )
    return values


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
Count = Annotated[int, Field(strict=True, ge=1)]
Names = Annotated[list[str], Field(min_length=1), AfterValidator(no_repeats)]
Steps = Annotated[list[Count], Field(min_length=1), AfterValidator(no_repeats)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
