"""Guess a schema profile from a table, for the user to edit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from models.errors import InvalidInput
from models.pan import CANDIDATE_PATTERN, contains_card_number
from models.parsing import refuse_card_numbers_as_names, shown_names
from models.schema import (
    AmountColumn,
    CategoricalColumn,
    Column,
    CurrencyColumn,
    EntityColumn,
    IdColumn,
    LabelColumn,
    NumericColumn,
    ScenarioColumn,
    TimestampColumn,
    TransactionSchema,
    parse_schema,
)
from models.tables import TableReader
from models.times import ISO_ANY_ZONE, ISO_WITH_ZONE, rust_pattern

_SAMPLE_ROWS = 50_000
_MAX_GUESSED_CATEGORIES = 200
_DEFAULT_LENGTH = 64
_MIN_RISING = 100
_LABEL_VALUES = (
    (("1", "true"), ("0", "false")),
    (("y", "yes"), ("n", "no")),
    (("fraud",), ("legitimate", "legit", "genuine", "normal")),
)
_LABELS = re.compile(r"^(class|label|target|fraud|is_?fraud(ulent)?|tx_fraud|fraud_?(flag|label|bool))$", re.I)
_SCENARIO = re.compile(r"scenario", re.I)
_AMOUNT = re.compile(r"(^|_)(amount|amt|value|total)$|^(amount|amt)", re.I)
_TIME = re.compile(r"time|date|(^|_)ts($|_)", re.I)
_ID = re.compile(r"^(id|.*transaction_?id|tx_?id|trans_?id|trans_?num)$", re.I)
_ENTITY = re.compile(r"(card|customer|account|client|merchant|terminal|device|user)(_?(id|no|num|number|hash))?$", re.I)
_CURRENCY = re.compile(r"curr|ccy", re.I)
_CURRENCY_CODE = re.compile(r"^[A-Z]{3}$")
_COLUMN_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
_MAX_TEXT = 1_000


@dataclass(frozen=True)
class GuessedProfile:
    """A schema, and what was guessed in words, one line per column.

    Attributes:
        schema: valid as it stands; the user should read it before relying on it.
        notes: column, kind and why.
        left_out: columns not used, with the reason; they pass through scoring untouched.
    """

    schema: TransactionSchema
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


def guess_profile(path: Path, *, label: str | None = None) -> GuessedProfile:
    """Guess what the columns of a table mean from their names and the first 50,000 rows.

    Args:
        label: the label column, where the user knows it.

    Raises:
        InvalidInput: no such label column, no rows, no column that can be a feature, or a name that looks like a card
            number.
    """
    frame = _sample(path)
    refuse_card_numbers_as_names(frame.columns, source=str(path))
    if label is not None and label not in frame.columns:
        raise InvalidInput(f"{path}: no column {label} to use as the label; the table has {shown_names(frame.columns)}")
    columns: dict[str, Column] = {}
    notes: list[str] = []
    left_out: list[str] = []
    taken: set[str] = set()
    for name in frame.columns:
        if name == label:
            guess: Column | str = LabelColumn()
        else:
            guess = _guess(name, frame[name], taken, has_label=label is not None)
        if isinstance(guess, str):
            left_out.append(f"{name or '(blank)'}: {guess}")
            continue
        columns[name] = guess
        taken.add(guess.kind)
        notes.append(f"{name}: {guess.kind}")
    if not any(column.kind in ("numeric", "amount", "categorical") for column in columns.values()):
        raise InvalidInput(f"{path}: found no column that can be a feature; write a profile by hand")
    body = {
        "name": re.sub(r"[^a-z0-9_-]+", "-", path.name.split(".")[0].lower()).strip("-_")[:64] or "table",
        "description": f"Guessed from the columns of {path.name}; read it before you rely on it.",
        "columns": {name: column.model_dump(mode="json") for name, column in columns.items()},
    }
    return GuessedProfile(parse_schema(body, source=str(path)), tuple(notes), tuple(left_out))


def _sample(path: Path) -> pl.DataFrame:
    frames: list[pl.DataFrame] = []
    rows = 0
    for chunk in TableReader(path).chunks():
        frames.append(chunk.frame)
        rows += chunk.frame.height
        if rows >= _SAMPLE_ROWS:
            break
    if rows == 0:
        raise InvalidInput(f"{path}: no rows below the header; expected transactions")
    return pl.concat(frames).head(_SAMPLE_ROWS)


def _guess(name: str, cells: pl.Series, taken: set[str], *, has_label: bool) -> Column | str:
    """What a column is, or why it is left out."""
    if not _COLUMN_NAME.fullmatch(name):
        return "a profile cannot name this column; give it a name of 1 to 128 printable characters"
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object, pl.Date, pl.Time, pl.Duration):
        return f"holds {cells.dtype}; neither numbers, text nor times"
    present = cells.drop_nulls()
    nullable = len(present) < len(cells)
    if len(present) == 0:
        return "every cell is empty"
    if isinstance(present.dtype, pl.Datetime):
        return _time(taken, zoned=present.dtype.time_zone is not None)
    text = present.cast(pl.String)
    if _holds_card_numbers(text):
        return "holds what looks like card numbers: refused; replace them by a pseudonymous id"
    if _LABELS.match(name):
        return _label(text, second=has_label or "label" in taken)
    if _SCENARIO.search(name) and "scenario" not in taken:
        return ScenarioColumn()
    if _matches(text, ISO_ANY_ZONE):
        return _time(taken, zoned=_matches(text, ISO_WITH_ZONE))
    longest = max(_DEFAULT_LENGTH, int(text.str.len_chars().to_numpy().max()))
    if _ID.match(name) and text.n_unique() == len(cells) and "id" not in taken and longest <= _MAX_TEXT:
        return IdColumn(max_length=longest)
    if _ENTITY.search(name) and longest <= _MAX_TEXT:
        return "an entity with empty cells" if nullable else EntityColumn(max_length=longest)
    numbers = text.str.strip_chars().cast(pl.Float64, strict=False)
    if numbers.null_count() == 0:
        return _number(name, numbers, taken, nullable=nullable)
    return _text(name, text, longest, taken, nullable=nullable)


def _text(name: str, text: pl.Series, longest: int, taken: set[str], *, nullable: bool) -> Column | str:
    values = text.n_unique()
    if values == 1 and _CURRENCY.search(name) and _CURRENCY_CODE.match(text[0]) and "currency" not in taken:
        return "a currency with empty cells" if nullable else CurrencyColumn(code=text[0])
    if values > _MAX_GUESSED_CATEGORIES:
        return f"text with more than {_MAX_GUESSED_CATEGORIES} values"
    if longest > _MAX_TEXT:
        return f"text of more than {_MAX_TEXT} characters"
    return CategoricalColumn(nullable=nullable, max_length=longest)


def _holds_card_numbers(text: pl.Series) -> bool:
    suspects = text.filter(text.str.contains(CANDIDATE_PATTERN))
    hits = sum(contains_card_number(cell) for cell in suspects.head(1_000))
    return hits > 0 and hits >= 0.05 * min(len(text), 1_000)


def _label(cells: pl.Series, *, second: bool) -> Column | str:
    if second:
        return "looks like a second label: no feature, since it is not known when a transaction is scored"
    seen = {cell.strip().lower().removesuffix(".0") for cell in cells.unique()}
    for fraud, legitimate in _LABEL_VALUES:
        if seen <= {*fraud, *legitimate}:
            return LabelColumn(fraud=fraud, legitimate=legitimate)
    return "looks like a label of unknown values: declare its kind and its fraud and legitimate values"


def _matches(text: pl.Series, pattern: str) -> bool:
    return bool(text.str.contains(rust_pattern(pattern)).all())


def _time(taken: set[str], *, zoned: bool) -> Column | str:
    if "timestamp" in taken:
        return "a second time column; one orders the rows"
    return TimestampColumn(format="iso8601" if zoned else "iso8601-utc")


def _number(name: str, numbers: pl.Series, taken: set[str], *, nullable: bool) -> Column | str:
    values = numbers.fill_nan(None).drop_nulls().to_numpy()  # the text "nan" is a missing number
    if len(values) == 0:
        return "every cell is empty"
    nullable = nullable or len(values) < len(numbers)
    rising = bool((np.diff(values) >= 0).all()) and len(values) > 1 and values[-1] > values[0]
    if _TIME.search(name) and "timestamp" not in taken and not nullable and values.min() >= 0:
        if values.min() > 9.4e8 and values.max() < 4.2e9:
            return TimestampColumn(format="epoch-s")
        if values.min() > 9.4e11 and values.max() < 4.2e12:
            return TimestampColumn(format="epoch-ms")
        if rising:
            return TimestampColumn(format="elapsed-s", cycles=())
    if rising and len(values) >= _MIN_RISING and len(np.unique(values)) > 2:
        return "only rises from row to row, as a counter or a clock does; it says nothing of a single transaction"
    if _AMOUNT.search(name) and "amount" not in taken:
        return AmountColumn(nullable=nullable)
    return NumericColumn(nullable=nullable)
