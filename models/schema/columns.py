"""The kinds of columns that a profile declares, but for times, which have a module of their own.

Long because all kinds stand together, each with the checks of its own declaration.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from models.schema.base import MOST_FIELDS, BaseColumn, Texts


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
