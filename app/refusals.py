"""What is not carried out, and why, field by field. No word of HTTP: :mod:`app.problems` says what a caller is told."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from models.errors import CounterfoilError


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    model_config = ConfigDict(frozen=True)

    field: str = Field(description='Name of the field; "" for the body as a whole')
    message: str = Field(description="What is wrong and what was expected")


class Refusal(CounterfoilError):
    """What was asked for is not carried out; nothing has changed.

    Args:
        detail: what failed, without values of the caller.
        errors: the fields at fault.
    """

    def __init__(self, detail: str, errors: Iterable[FieldProblem] = ()) -> None:
        super().__init__(detail)
        self.errors = tuple(errors)


class Conflict(Refusal):
    """What the log holds already speaks against it."""


class InvalidTransaction(Refusal):
    """A transaction that must not be recorded as it is."""


class Untimely(InvalidTransaction):
    """A transaction from the future, or from before the history that is kept."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__("1 field is not as expected", [FieldProblem(field=field, message=message)])
