"""TransactionSchema: which columns a transaction has and what they mean.

One declaration drives training, the API's request model, the OpenAPI page and the table reader. It is written
as a TOML profile (``models/profiles/*.toml`` are the shipped ones) and travels inside every bundle.
"""

from __future__ import annotations

import re
import tomllib
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.behaviour.spec import MOST_MINOR_UNITS, OF_AMOUNT, BehaviourFeature, EntityBehaviour
from models.durations import duration_seconds
from models.errors import InvalidProfile

TimeFormat = Literal["iso8601", "iso8601-utc", "epoch-s", "epoch-ms", "elapsed-s"]
Cycle = Literal["hour", "weekday"]

#: The largest finite float32: nothing outside it is accepted as a number anywhere.
FLOAT32_MAX = 3.4028234663852886e38
MAX_COLUMNS = 2_000
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,128}")


class _Column(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    description: str = Field(default="", max_length=500)


class _Text(_Column):
    max_length: int = Field(default=64, ge=1, le=1_000)


class IdColumn(_Text):
    """The transaction's own identifier. Not a feature."""

    kind: Literal["id"] = "id"


class EntityColumn(_Text):
    """Whom the transaction belongs to: a card, a merchant, a terminal. Not a feature."""

    kind: Literal["entity"] = "entity"


class CategoricalColumn(_Text):
    """A feature with unordered values, e.g. a country. Values unseen in training share one bucket."""

    kind: Literal["categorical"] = "categorical"
    nullable: bool = False


class CurrencyColumn(_Column):
    """The currency of the amount. A model knows one: rows in any other are refused. Not a feature."""

    kind: Literal["currency"] = "currency"
    code: str = Field(pattern=r"^[A-Z]{3}$")


class NumericColumn(_Column):
    """A feature that is a number. ``signed-log`` compresses heavy tails: sign(x) log(1 + |x|)."""

    kind: Literal["numeric"] = "numeric"
    nullable: bool = False
    transform: Literal["none", "signed-log"] = "none"
    minimum: float | None = None
    maximum: float | None = None
    unit: str = Field(default="", max_length=32)

    @model_validator(mode="after")
    def _ordered(self) -> NumericColumn:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is larger than maximum")
        return self


class AmountColumn(NumericColumn):
    """The transaction's amount: a number, or in JSON also a decimal string such as "12.34".

    Behaviour features sum it in minor units, of which ``minor_digits`` decimals are left: 2 for cents.
    """

    kind: Literal["amount"] = "amount"  # type: ignore[assignment]
    minor_digits: int = Field(default=2, ge=0, le=4)


class TimestampColumn(_Column):
    """When the transaction happened. Orders the rows; its cycles (UTC) are features.

    ``iso8601`` wants a zone; ``iso8601-utc`` takes a missing zone as UTC; ``epoch-s`` and ``epoch-ms`` are numbers
    since 1970 (ISO 8601 with a zone is accepted there too); ``elapsed-s`` is seconds since an unknown start.
    """

    kind: Literal["timestamp"] = "timestamp"
    format: TimeFormat = "iso8601"
    cycles: tuple[Cycle, ...] = ("hour", "weekday")

    @field_validator("cycles", mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _cycles_need_a_calendar(self) -> TimestampColumn:
        if self.format == "elapsed-s" and self.cycles:
            raise ValueError("format 'elapsed-s' has no calendar: set cycles = []")
        return self


class LabelColumn(_Column):
    """Whether the transaction was fraud. Known late, never sent for scoring. An empty cell means unknown."""

    kind: Literal["label"] = "label"
    fraud: tuple[str, ...] = ("1", "true")
    legitimate: tuple[str, ...] = ("0", "false")

    @field_validator("fraud", "legitimate", mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


class ScenarioColumn(_Column):
    """The name of the fraud scenario, where somebody recorded it. Used in reports only."""

    kind: Literal["scenario"] = "scenario"


Column = Annotated[
    IdColumn
    | EntityColumn
    | CategoricalColumn
    | CurrencyColumn
    | NumericColumn
    | AmountColumn
    | TimestampColumn
    | LabelColumn
    | ScenarioColumn,
    Field(discriminator="kind"),
]
_AT_MOST_ONE = ("id", "timestamp", "amount", "currency", "label", "scenario")


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
    columns: dict[str, Column] = Field(min_length=1, max_length=MAX_COLUMNS)

    @field_validator("label_delay")
    @classmethod
    def _delay(cls, value: str) -> str:
        duration_seconds(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> TransactionSchema:
        for name in self.columns:
            if not _NAME.fullmatch(name):
                raise ValueError("column names need 1 to 128 characters and no control characters")
        for kind in _AT_MOST_ONE:
            names = self._named(kind)
            if len(names) > 1:
                raise ValueError(f"only one column may be of kind '{kind}', found {', '.join(names)}")
        self._check_behaviour()
        if not self.features:
            raise ValueError("no feature: name at least one numeric, amount or categorical column")
        return self

    def _check_behaviour(self) -> None:
        kinds = {name: column.kind for name, column in self.columns.items()}
        bounds = {n: (c.minimum, c.maximum) for n, c in self.columns.items() if isinstance(c, NumericColumn)}
        for entity, behaviour in self.entity.items():
            behaviour.check(entity, kinds, bounds)
            if "hour_rarity" in behaviour.features and self.elapsed:
                raise ValueError(f"entity.{entity}: hour_rarity needs a calendar, and format 'elapsed-s' has none")
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
    def words(self) -> dict[str, str]:
        """What each behaviour feature is, for an analyst."""
        return {f.name: f.words(self.entity[f.entity].windows[-1]) for f in self.behaviour}

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
        return isinstance(column, TimestampColumn) and column.format == "elapsed-s"

    @cached_property
    def _derived_columns(self) -> dict[str, NumericColumn]:
        units = {"since_last": "s", "km_from_last": "km", "kmh": "km/h"}
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
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns a transaction must carry to be scored: all but label and scenario."""
        return tuple(n for n, column in self.columns.items() if column.kind not in ("label", "scenario"))

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
            return column.code
        return self.numeric_column(self.amount).unit if self.amount else ""

    def with_label(self, name: str) -> TransactionSchema:
        """The same schema with another label column; a previous one is dropped."""
        columns: dict[str, Column] = {n: c for n, c in self.columns.items() if c.kind != "label" and n != name}
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
        columns = body.pop("columns")
        lines = [tomli_w.dumps(body), "[columns]\n"]
        for name, fields in columns.items():
            inner = ", ".join(re.sub(r"\n\s*", " ", tomli_w.dumps({k: v}).strip()) for k, v in fields.items())
            key = tomli_w.dumps({name: 0}).removesuffix(" = 0\n")
            lines.append(f"{key} = {{ {inner} }}\n")
        return "".join(lines)


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


def shipped_profiles() -> list[str]:
    """Names of the profiles that come with the project."""
    folder = resources.files("models") / "profiles"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_schema(name_or_path: str) -> TransactionSchema:
    """Read a shipped profile by name, or a profile file by path.

    Raises:
        InvalidProfile: no such profile, unreadable TOML, or a wrong declaration.
    """
    if name_or_path in shipped_profiles():
        text = (resources.files("models") / "profiles" / f"{name_or_path}.toml").read_text(encoding="utf-8")
    else:
        path = Path(name_or_path)
        if not path.is_file():
            raise InvalidProfile(
                f"no profile '{name_or_path}': neither a file nor one of {', '.join(shipped_profiles())}"
            )
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidProfile(f"{name_or_path}: cannot be read as UTF-8 text: {type(error).__name__}") from None
    try:
        body = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidProfile(f"{name_or_path}: not valid TOML: {error}") from None
    return parse_schema(body, source=name_or_path)
