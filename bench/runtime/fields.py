"""Types of configuration keys that sections, readers and checkpoint formats share."""

import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PydanticUserError,
    create_model,
)

from bench.runtime.errors import BenchError, reason, shown


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


def arguments(name: str, function: Callable, first: int = 0) -> type[BaseModel]:
    """The pydantic model of the arguments of a function: keys of a section, with their types.

    name: of the model. first: how many arguments before them are no keys. An argument without an
    annotation takes any value. BenchError if an annotation is of no type that pydantic can check.
    """
    fields = {}
    try:
        parameters = list(inspect.signature(function, eval_str=True).parameters.values())
        for key in parameters[first:]:
            annotation = Any if key.annotation is key.empty else key.annotation
            fields[key.name] = (annotation, ... if key.default is key.empty else key.default)
        return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except (PydanticUserError, NameError) as error:
        raise BenchError(
            f"{name}: the arguments of {function.__name__} cannot be checked ({reason(error)}); "
            "expected annotations such as int, float, str or bool"
        ) from error
