"""The declaration of numbers and amounts: how they are written, and what they are computed as."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from models.behaviour.spec import Transform
from models.schema.base import BaseColumn, Texts
from models.schema.times import check_time_form

#: What a number can be computed as: how many fields it takes.
NUMBERS_FROM = {"age": 1, "days": 1, "difference": 2, "distance": 4}


class NumericColumn(BaseColumn):
    """A feature that is a number. ``signed-log`` compresses heavy tails: sign(x) log(1 + |x|).

    ``late-log`` leaves x as it is up to 5 and compresses what lies beyond: sign(x) 5 (1 + log(|x| / 5)).

    Attributes:
        decimal, thousands: as the numbers are written.
        marks: texts that may stand before or behind a number, e.g. ``$``.
        negative: how a negative number may be written besides a minus before it: ``()`` in parentheses, ``-`` with the
            minus behind, any other text beside it.
        missing: values that mean that there is none.
        derive: what the number is computed as, of the fields in ``from``.
        format, zone: of the date, for ``age`` and ``days``.
    """

    kind: Literal["numeric"] = "numeric"
    nullable: bool = False
    transform: Transform = "none"
    minimum: float | None = None
    maximum: float | None = None
    unit: str = Field(default="", max_length=32)
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    marks: Texts = Field(default=(), max_length=20)
    negative: Texts = Field(default=(), max_length=20)
    missing: Texts = Field(default=(), max_length=20)
    derive: Literal["age", "days", "difference", "distance"] | None = None
    format: str = Field(default="%Y-%m-%d", max_length=64)
    zone: str = Field(default="UTC", max_length=64)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is larger than maximum")
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands are the same")
        for text in (*self.marks, *self.negative):
            if not text or text != text.strip() or any(character.isdigit() for character in text):
                raise ValueError("marks and negative take texts without digits and without blanks around them")
            if text in "+." or (text in ("-", "()") and text in self.marks):
                raise ValueError('marks cannot be signs; declare negative = ["()"] or ["-"]')
        if self.missing and not self.nullable:
            raise ValueError("missing needs nullable = true")
        self.check_sources(NUMBERS_FROM[self.derive] if self.derive else 1)
        if self.derive and len(self.source) != NUMBERS_FROM[self.derive]:
            raise ValueError(f"derive = '{self.derive}' needs from = {NUMBERS_FROM[self.derive]} field(s)")
        if self.dated:
            check_time_form(self.format, self.zone)
        return self

    @property
    def dated(self) -> bool:
        """Whether it is the time from a date to the payment."""
        return self.derive in ("age", "days")

    @property
    def written(self) -> bool:
        """Whether its texts are read in a form of their own."""
        return bool(self.decimal != "." or self.thousands or self.marks or self.negative)

    @property
    def formed(self) -> bool:
        return bool(self.source or self.written or self.missing)

    def plain(self) -> BaseColumn:
        kept = {name: getattr(self, name) for name in NUMERIC_FORM}
        return self.model_copy(update={name: type(self).model_fields[name].default for name in kept})


#: What a numeric column says of its form alone.
NUMERIC_FORM = ("source", "decimal", "thousands", "marks", "negative", "missing", "derive", "format", "zone")


class AmountColumn(NumericColumn):
    """The transaction's amount: a number, or in JSON also a decimal string such as "12.34".

    Behaviour features sum it in minor units, of which ``minor_digits`` decimals are left: 2 for cents.

    Attributes:
        scale: decimals of amounts in minor units: 2 where 1234 means 12.34.
        debit, credit: two fields in place of one; the amount is the debit less the credit.
        flip: payments are negative in the data; their sign is turned around.
        absolute: the sign is dropped; a ``direction`` beside it tells refunds.
    """

    kind: Literal["amount"] = "amount"  # type: ignore[assignment]
    minor_digits: int = Field(default=2, ge=0, le=4)
    scale: int = Field(default=0, ge=0, le=4)
    debit: str = ""
    credit: str = ""
    flip: bool = False
    absolute: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.debit) != bool(self.credit):
            raise ValueError("debit and credit go together")
        if self.debit and (self.source or self.debit == self.credit):
            raise ValueError("the amount is read from one field, or from debit and credit")
        if self.derive:
            raise ValueError("an amount is not derived")
        if self.flip and self.absolute:
            raise ValueError("flip and absolute: choose one")
        return self

    def fields(self, name: str) -> tuple[str, ...]:
        return (self.debit, self.credit) if self.debit else super().fields(name)

    @property
    def formed(self) -> bool:
        return super().formed or bool(self.scale or self.debit or self.flip or self.absolute)

    def plain(self) -> BaseColumn:
        changed = {"scale": 0, "debit": "", "credit": "", "flip": False, "absolute": False}
        return super().plain().model_copy(update=changed)
