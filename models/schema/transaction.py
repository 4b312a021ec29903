"""TransactionSchema: which columns a transaction has and what they mean.

Long because what columns ask of each other is checked in one place.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Any, Self, cast

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from models.behaviour.spec import DEFAULT_PLACE, MOST_MINOR_UNITS, OF_AMOUNT, RATIOS, BehaviourFeature, EntityBehaviour
from models.durations import duration_seconds
from models.errors import InvalidInput, InvalidProfile
from models.key_hash import KeyHash
from models.schema.base import is_name, names_verification_value
from models.schema.columns import (
    CategoricalColumn,
    CurrencyColumn,
    EntityColumn,
    IdColumn,
    IgnoreColumn,
    LabelColumn,
    ScenarioColumn,
    TextColumn,
)
from models.schema.file_form import PLAIN_FILE, FileForm
from models.schema.numbers import AmountColumn, NumericColumn
from models.schema.profile_toml import profile_toml
from models.schema.times import Cycle, LabelTimestampColumn, TimestampColumn

MAX_COLUMNS = 2_000
#: A column that exported tables have: their transactions are in the plain form, whatever form the profile declares.
PLAIN = "counterfoil_plain"

Column = Annotated[
    IdColumn
    | EntityColumn
    | CategoricalColumn
    | CurrencyColumn
    | NumericColumn
    | AmountColumn
    | TimestampColumn
    | LabelColumn
    | LabelTimestampColumn
    | ScenarioColumn
    | IgnoreColumn,
    Field(discriminator="kind"),
]
_AT_MOST_ONE = ("id", "timestamp", "amount", "currency", "label", "label_timestamp", "scenario")
#: Behaviour words that compare the amount: told as one reason with it.
_OF_THE_AMOUNT = ("zscore", *RATIOS)
#: Words that say how well the entity knows a value, such as the merchant: one cause.
_OF_THE_VALUE = ("new", "since", "since_first", "same")
#: Kinds of columns that a transaction lacks when it is scored.
_NOT_SENT = ("label", "label_timestamp", "scenario", "ignore")


class TransactionSchema(BaseModel):
    """The columns of a transaction, by name, in the order of the features.

    Columns of a table that the schema does not name are carried along untouched and never looked at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    description: str = Field(default="", max_length=1_000)
    label_delay: str = "0d"
    entity: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")], EntityBehaviour] = Field(
        default_factory=dict, max_length=8
    )
    file: FileForm = PLAIN_FILE
    columns: dict[str, Column] = Field(min_length=1, max_length=MAX_COLUMNS)
    _keys: KeyHash | None = PrivateAttr(default=None)

    @field_validator("label_delay")
    @classmethod
    def _delay(cls, value: str) -> str:
        duration_seconds(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_names()
        for kind in _AT_MOST_ONE:
            names = self._named(kind)
            if len(names) > 1:
                raise ValueError(f"only one column may be of kind '{kind}', found {', '.join(names)}")
        self._check_forms()
        self._check_behaviour()
        if not self.features:
            raise ValueError("no feature: name at least one numeric, amount or categorical column")
        return self

    def _check_names(self) -> None:
        read = {field: name for name, column in self.columns.items() for field in column.fields(name)}
        for name, column in self.columns.items():
            if not all(map(is_name, (name, *column.fields(name)))):
                raise ValueError("column names need 1 to 128 characters and no control characters")
            if column.kind != "ignore" and any(map(names_verification_value, (name, *column.fields(name)))):
                raise ValueError(
                    f"column {name}: card verification values must not be stored, nor used; declare kind = 'ignore'"
                )
        for name, column in self.columns.items():
            if column.kind == "ignore" and read[name] != name:
                raise ValueError(f"column {name}: is ignored, and column {read[name]} is read from it")

    def _check_forms(self) -> None:
        for name, column in self.columns.items():
            if isinstance(column, NumericColumn) and column.dated and (self.timestamp is None or self.elapsed):
                raise ValueError(f"column {name}: derive = '{column.derive}' needs a timestamp with a calendar")
            if isinstance(column, CategoricalColumn) and column.derive == "direction" and self.amount is None:
                raise ValueError(f"column {name}: derive = 'direction' needs a column of kind 'amount'")
            if isinstance(column, CurrencyColumn) and (column.rates or column.digits):
                amount = self.columns[self.amount] if self.amount else None
                if not isinstance(amount, AmountColumn):
                    raise ValueError(f"column {name}: rates and digits need a column of kind 'amount'")
                if column.digits and not amount.scale:
                    raise ValueError(f"column {name}: digits need an amount with a scale")
            if isinstance(column, LabelTimestampColumn):
                if self.label is None or self.timestamp is None:
                    raise ValueError(f"column {name}: says when a label was known: it needs a label and a timestamp")
                if column.elapsed != self.elapsed:
                    raise ValueError(f"column {name}: its times and those of {self.timestamp} have no common start")

    def _check_behaviour(self) -> None:
        kinds = {name: column.kind for name, column in self.columns.items()}
        bounds = {n: (c.minimum, c.maximum) for n, c in self.columns.items() if isinstance(c, NumericColumn)}
        for entity, behaviour in self.entity.items():
            behaviour.check(entity, kinds, bounds)
            if "hour_rarity" in behaviour.features and self.elapsed:
                raise ValueError(f"entity.{entity}: hour_rarity needs a calendar, and the timestamp has none")
        taken = [feature.name for feature in self.behaviour if feature.name in self.columns]
        if taken:
            raise ValueError(f"column {taken[0]}: a behaviour feature has this name")
        if any(behaviour.uses_amount for behaviour in self.entity.values()) and self.amount:
            low, high = bounds[self.amount]
            most = MOST_MINOR_UNITS / 10**self.minor_digits
            if low is None or high is None or low < -most or high > most:
                raise ValueError(
                    f"column {self.amount}: {', '.join(OF_AMOUNT)} are exact sums: declare a minimum of at least "
                    f"{-most:g} and a maximum of at most {most:g}"
                )

    def _named(self, *kinds: str) -> tuple[str, ...]:
        return tuple(name for name, column in self.columns.items() if column.kind in kinds)

    def _only(self, kind: str) -> str | None:
        return next(iter(self._named(kind)), None)

    @cached_property
    def id(self) -> str | None:
        return self._only("id")

    @cached_property
    def timestamp(self) -> str | None:
        return self._only("timestamp")

    @cached_property
    def amount(self) -> str | None:
        return self._only("amount")

    @cached_property
    def label(self) -> str | None:
        return self._only("label")

    @cached_property
    def label_timestamp(self) -> str | None:
        return self._only("label_timestamp")

    @cached_property
    def scenario(self) -> str | None:
        return self._only("scenario")

    @cached_property
    def entities(self) -> tuple[str, ...]:
        return self._named("entity")

    @cached_property
    def behaviour(self) -> tuple[BehaviourFeature, ...]:
        """Features that are computed from the earlier transactions of the same entities, in order."""
        return tuple(feature for name, entity in self.entity.items() for feature in entity.named(name))

    @cached_property
    def sent_numeric(self) -> tuple[str, ...]:
        """Numeric features that a transaction carries, in order, the amount among them."""
        return self._named("numeric", "amount")

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        """All numeric features in order: those that are sent, then those of behaviour."""
        return (*self.sent_numeric, *(feature.name for feature in self.behaviour))

    @cached_property
    def minor_digits(self) -> int:
        """Decimals of the amount that behaviour features tell apart; 0 without an amount."""
        column = self.columns[self.amount] if self.amount else None
        return column.minor_digits if isinstance(column, AmountColumn) else 0

    @cached_property
    def elapsed(self) -> bool:
        """Whether times count from an unknown start, so that no clock can be compared with them."""
        column = self.columns[self.timestamp] if self.timestamp else None
        return isinstance(column, TimestampColumn) and column.elapsed

    @cached_property
    def _derived_columns(self) -> dict[str, NumericColumn]:
        units = {
            "since_last": "s",
            "since": "s",
            "since_first": "s",
            "km_from_last": "km",
            "km_from_usual": "km",
            "kmh": "km/h",
        }
        units |= dict.fromkeys(("sum", "mean", "std", "max"), self.currency)
        return {
            feature.name: NumericColumn(transform=feature.transform, unit=units.get(feature.word, ""))
            for feature in self.behaviour
        }

    @cached_property
    def categorical(self) -> tuple[str, ...]:
        return self._named("categorical")

    @cached_property
    def cycles(self) -> tuple[Cycle, ...]:
        column = self.columns[self.timestamp] if self.timestamp else None
        return column.cycles if isinstance(column, TimestampColumn) else ()

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Names of all features: numeric, categorical, then ``<timestamp>.<cycle>``."""
        return (*self.numeric, *self.categorical, *(f"{self.timestamp}.{cycle}" for cycle in self.cycles))

    @cached_property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Pairs of numeric columns that are a latitude and a longitude: those of entities, else by name and bounds."""
        named = [entity.place for entity in self.entity.values() if entity.uses_place] or [DEFAULT_PLACE]
        columns = [[self.columns.get(name) for name in place] for place in named]
        return tuple(
            place
            for place, pair in dict(zip(named, columns, strict=True)).items()
            if all(
                isinstance(one, NumericColumn) and one.minimum == -limit and one.maximum == limit
                for one, limit in zip(pair, (90.0, 180.0), strict=True)
            )
        )

    @cached_property
    def causes(self) -> tuple[int, ...]:
        """Which cause each feature belongs to, counted from 0: the windows of one behaviour word are one, and so are a
        latitude, its longitude and the distance from an entity's usual places, the amount and what compares it, and the
        words that say how well an entity knows a value."""
        words: dict[str, tuple[str, ...]] = {
            f.name: (self.amount,)
            if self.amount and f.word in _OF_THE_AMOUNT
            else (f.entity, "new" if f.word in _OF_THE_VALUE else f.word, f.column)
            for f in self.behaviour
        }
        for place in self.places:
            entities = [name for name, entity in self.entity.items() if entity.place == place]
            usual = [f.name for f in self.behaviour if f.word == "km_from_usual" and f.entity in entities]
            words |= dict.fromkeys((*place, *usual), ("", *place))
        return self._numbered(words)

    @cached_property
    def things(self) -> tuple[int, ...]:
        """Which thing each feature is where single things count: the windows of one behaviour word are one, but for a
        window of a feature's own."""
        return self._numbered(
            {f.name: (f.entity, f.word, f.column, f.window if f.alone else "") for f in self.behaviour}
        )

    def _numbered(self, groups: dict[str, tuple[str, ...]]) -> tuple[int, ...]:
        keys = [groups.get(name, (name,)) for name in self.features]
        order = list(dict.fromkeys(keys))
        return tuple(order.index(key) for key in keys)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns that a transaction has when it is scored: not what is known later only, or ignored."""
        return tuple(name for name, column in self.columns.items() if column.kind not in _NOT_SENT)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields that a transaction must carry to be scored, as tables and JSON have them."""
        return tuple(dict.fromkeys(field for name in self.inputs for field in self.columns[name].fields(name)))

    @cached_property
    def ignored(self) -> tuple[str, ...]:
        """Fields that may be sent, and are dropped."""
        return self._named("ignore")

    @cached_property
    def formed(self) -> bool:
        """Whether a column is read from other fields or in another form than its plain one."""
        return any(column.formed for column in self.columns.values())

    @cached_property
    def plain(self) -> TransactionSchema:
        """The schema of the transactions as the log and exported tables hold them: every column in its plain form."""
        if not self.formed:
            return self
        columns = {name: cast(Column, column.plain()) for name, column in self.columns.items()}
        return self.model_copy(update={"columns": columns}).checked()

    def of_table(self, columns: Iterable[str]) -> TransactionSchema:
        """The schema that a table is read by, given its columns: the plain one where it says so by :data:`PLAIN`."""
        return self.plain if PLAIN in columns else self

    @cached_property
    def hashed(self) -> tuple[str, ...]:
        """Names of the entities whose keys are hashed on reading."""
        return tuple(name for name, c in self.columns.items() if isinstance(c, EntityColumn) and c.key_hash)

    @cached_property
    def trusted(self) -> tuple[str, ...]:
        """Fields whose long numbers are no card numbers, as the profile says."""
        return tuple(
            field
            for name, column in self.columns.items()
            if isinstance(column, TextColumn) and column.no_card_numbers
            for field in column.fields(name)
        )

    @property
    def key_hasher(self) -> KeyHash:
        """What keys are hashed with.

        Raises:
            InvalidInput: the secret was not given.
        """
        if self._keys is None:
            raise InvalidInput(
                f"profile '{self.name}': {self.hashed[0]} has key_hash = true, which needs a secret: "
                "name its file in COUNTERFOIL_PSEUDONYM_KEY_FILE"
            )
        return self._keys

    def with_keys(self, keys: KeyHash) -> TransactionSchema:
        """The same schema with what keys are hashed with; no copy that is written out has it."""
        copy = self.model_copy()
        copy._keys = keys
        return copy

    def numeric_column(self, name: str) -> NumericColumn:
        """The declaration of a numeric feature."""
        column = self.columns.get(name) or self._derived_columns[name]
        if not isinstance(column, NumericColumn):
            raise KeyError(name)
        return column

    @cached_property
    def currency(self) -> str:
        """The currency code of the amount, or an empty string."""
        name = self._only("currency")
        column = self.columns[name] if name else None
        if isinstance(column, CurrencyColumn):
            return column.code.upper()
        return self.numeric_column(self.amount).unit if self.amount else ""

    def with_label(self, name: str) -> TransactionSchema:
        """The same schema with another label column; a previous one is dropped, with since when it was known."""
        dropped = ("label",) if name == self.label else ("label", "label_timestamp")
        columns: dict[str, Column] = {n: c for n, c in self.columns.items() if c.kind not in dropped and n != name}
        old = self.columns.get(name)
        columns[name] = old if isinstance(old, LabelColumn) else LabelColumn()
        return self.model_copy(update={"columns": columns}).checked()

    def checked(self) -> TransactionSchema:
        """This schema validated anew, for copies with changed fields."""
        return parse_schema(self.model_dump(mode="json"), source=f"profile '{self.name}'")

    def to_toml(self) -> str:
        """The profile as TOML; reading it back gives an equal schema."""
        body = self.model_dump(mode="json", exclude_defaults=True)
        body["columns"] = {
            name: {
                "kind": column.kind,
                **column.model_dump(mode="json", exclude_defaults=True, exclude_none=True),
            }
            for name, column in self.columns.items()
        }
        return profile_toml(body)


def parse_schema(body: dict[str, Any], *, source: str) -> TransactionSchema:
    """Validate a profile's content.

    Raises:
        InvalidProfile: naming the source, the key and what was expected there.
    """
    try:
        return TransactionSchema.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "profile"
        raise InvalidProfile(f"{source}: {where}: {first['msg']}") from None
