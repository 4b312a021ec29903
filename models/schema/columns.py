"""The kinds of columns that a profile declares, but for times, which have a module of their own.

Long because all kinds stand together, each with the checks of its own declaration.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from models.behaviour.spec import Transform
from models.schema.base import MOST_FIELDS, BaseColumn, Texts
from models.schema.times import check_time_form

#: What a number can be computed as: how many fields it takes.
NUMBERS_FROM = {"age": 1, "days": 1, "difference": 2, "distance": 4}


class TextColumn(BaseColumn):
    """A text; of several fields, their texts with ``|`` between them.

    Attributes:
        any_type: numbers and booleans are accepted in JSON, too, and every value has one text: 5411, 5411.0 and
            ``"5411.0"`` are ``5411``.
        no_card_numbers: long numbers here are no card numbers, though some look like one; training holds against it.
    """

    max_length: int = Field(default=64, ge=1, le=1_000)
    any_type: bool = False
    no_card_numbers: bool = False

    @model_validator(mode="after")
    def _few_fields(self) -> Self:
        self.check_sources(MOST_FIELDS)
        return self

    @property
    def formed(self) -> bool:
        return bool(self.source) or self.any_type

    def plain(self) -> BaseColumn:
        return self.model_copy(update={"source": (), "any_type": False})


class IdColumn(TextColumn):
    """The transaction's own identifier. Not a feature."""

    kind: Literal["id"] = "id"


class EntityColumn(TextColumn):
    """Whom the transaction belongs to: a card, a merchant, a terminal. Not a feature.

    Attributes:
        key_hash: the values are secret, card numbers for one: replaced by a keyed hash on reading.
    """

    kind: Literal["entity"] = "entity"
    key_hash: bool = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.key_hash and self.no_card_numbers:
            raise ValueError("key_hash hides card numbers and no_card_numbers says that there are none: choose one")
        return self

    @property
    def formed(self) -> bool:
        return super().formed or self.key_hash

    def plain(self) -> BaseColumn:
        return self.model_copy(update={"source": (), "any_type": False, "key_hash": False, "max_length": 1_000})


class CategoricalColumn(TextColumn):
    """A feature with unordered values, e.g. a country. Values unseen in training share one bucket.

    Attributes:
        derive: ``prefix``: the first ``length`` characters; ``direction``: ``refund`` where the amount, before its
            sign is dropped, is below zero, ``payment`` where it is not.
        missing: values that mean that there is none.
    """

    kind: Literal["categorical"] = "categorical"
    nullable: bool = False
    missing: Texts = ()
    derive: Literal["prefix", "direction"] | None = None
    length: int | None = Field(default=None, ge=1, le=64)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.missing and not self.nullable:
            raise ValueError("missing needs nullable = true")
        if self.derive == "prefix" and len(self.source) != 1:
            raise ValueError("derive = 'prefix' needs from = one field")
        if self.derive == "direction" and self.source:
            raise ValueError("derive = 'direction' is read from the amount: leave from out")
        if (self.derive == "prefix") != (self.length is not None):
            raise ValueError("derive = 'prefix' and length go together")
        return self

    @property
    def formed(self) -> bool:
        return super().formed or bool(self.missing or self.derive)

    def fields(self, name: str) -> tuple[str, ...]:
        return () if self.derive == "direction" else super().fields(name)

    def plain(self) -> BaseColumn:
        return self.model_copy(update={"source": (), "any_type": False, "missing": (), "derive": None, "length": None})


class CurrencyColumn(BaseColumn):
    """The currency of the amount. A model knows one: rows in any other are converted by ``rates`` or refused.

    Attributes:
        code: as the data writes it.
        rates: other currencies, each with what one unit is worth in ``code``.
        digits: decimals of currencies whose minor units are not those of the amount's ``scale``.
    """

    kind: Literal["currency"] = "currency"
    code: str = Field(pattern=r"^(?:[A-Z]{3}|[a-z]{3}|[0-9]{3})$")
    rates: dict[str, float] = Field(default_factory=dict, max_length=200)
    digits: dict[str, int] = Field(default_factory=dict, max_length=200)

    @model_validator(mode="after")
    def _known(self) -> Self:
        self.check_sources()
        if self.code in self.rates:
            raise ValueError(f"rates names {self.code}, which is code itself")
        if any(not 0 < rate < 1e9 for rate in self.rates.values()):
            raise ValueError("each of the rates is above zero")
        if any(not 0 <= digits <= 4 for digits in self.digits.values()):
            raise ValueError("digits are from 0 to 4")
        if unknown := sorted(set(self.digits) - {self.code, *self.rates}):
            raise ValueError(f"digits names {unknown[0]}, which is neither code nor in rates")
        return self

    @property
    def formed(self) -> bool:
        return bool(self.source or self.rates or self.digits)

    def plain(self) -> BaseColumn:
        return self.model_copy(update={"source": (), "rates": {}, "digits": {}})


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


class LabelColumn(BaseColumn):
    """Whether the transaction was fraud. Known late, never sent for scoring. Of several fields, fraud in one is fraud.

    Attributes:
        fraud, legitimate, unknown: values, whatever their case; "" is an empty cell, which else is unknown.
        otherwise: what any other value means; ``refuse`` makes it an error.
    """

    kind: Literal["label"] = "label"
    fraud: Texts = ("1", "true")
    legitimate: Texts = ("0", "false")
    unknown: Texts = ()
    otherwise: Literal["refuse", "fraud", "legitimate", "unknown"] = "refuse"

    @field_validator("fraud", "legitimate", "unknown")
    @classmethod
    def _plain(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if any(value != value.strip() for value in values):
            raise ValueError("values have no blanks around them")
        return values

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        self.check_sources(MOST_FIELDS)
        meanings = [{value.lower() for value in values} for values in (self.fraud, self.legitimate, self.unknown)]
        for value in sorted(set.union(*meanings)):
            if sum(value in values for values in meanings) > 1:
                raise ValueError(f"'{value}' has two meanings: a value is fraud, legitimate or unknown")
        return self

    @property
    def formed(self) -> bool:
        empty = "" in (*self.fraud, *self.legitimate)
        return bool(self.source or self.unknown or empty or self.otherwise != "refuse")

    def plain(self) -> BaseColumn:
        if not self.formed:
            return self
        changed = {"source": (), "fraud": ("fraud",), "legitimate": ("legitimate",), "unknown": ()}
        return self.model_copy(update={**changed, "otherwise": "refuse"})


class ScenarioColumn(BaseColumn):
    """The name of the fraud scenario, where somebody recorded it. Used in reports only."""

    kind: Literal["scenario"] = "scenario"

    @model_validator(mode="after")
    def _one_field(self) -> Self:
        self.check_sources()
        return self


class IgnoreColumn(BaseColumn):
    """A column that is never looked at: known only later, or of no use. In JSON it may be sent, and is dropped."""

    kind: Literal["ignore"] = "ignore"

    @field_validator("source")
    @classmethod
    def _none(cls, value: Any) -> Any:
        if value:
            raise ValueError("an ignored column is named as it stands in the table")
        return value
