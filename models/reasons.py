"""Why a transaction is unusual: its features in the user's own terms, by their share of the error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.forms.time_patterns import DAY
from models.rows import Batch, Vocabulary
from models.schema import TransactionSchema
from models.thresholds import Decision
from models.times import EPOCH_WEEKDAY

Direction = Literal["higher", "lower", "different", "missing"]
UNSEEN = "a value not seen in training"
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MINUTE = 60_000_000
#: Seconds in the units that durations are told in.
_TIMES = ((86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "s"))


@dataclass(frozen=True)
class Reason:
    """One feature's part in one transaction's error.

    Attributes:
        feature: its name.
        value: as sent: a number, a category, an hour ("04:15") or a weekday; None where missing.
        expected: what the detector reconstructed, in the same terms.
        share: of the reconstruction error; all features together give 1. Negative where correlated features
            explain part of each other's deviation.
        direction: of the value against the expected one.
        text: one plain sentence.
    """

    feature: str
    value: float | str | None
    expected: float | str
    share: float
    direction: Direction
    text: str
    verified: Verified | None = None


@dataclass(frozen=True)
class Verified:
    """What becomes of the transaction with the reason's feature put back to its expected value, everything else kept.

    Attributes:
        score: scored again.
        drop: by how much the score fell; negative if it rose.
        decision: the decision then.
        flips: whether that is another decision than the transaction's own.
    """

    score: float
    drop: float
    decision: Decision
    flips: bool


def put_back(
    schema: TransactionSchema, batch: Batch, expected: NDArray[np.float64], features: NDArray[np.int64]
) -> Batch:
    """The batch with, in each row i, the feature ``features[i]`` at its expected value.

    Args:
        expected: float64 [n, features], as the detector gives it.
        features: int64 [n], positions in ``schema.features``.
    """
    numeric, categorical, time = batch.numeric.copy(), batch.categorical.copy(), batch.time.copy()
    numbers, categories = len(schema.numeric), len(schema.categorical)
    for row, feature in enumerate(features):
        value = expected[row, feature]
        if feature < numbers:
            numeric[row, feature] = value
        elif feature < numbers + categories:
            categorical[row, feature - numbers] = round(value)
        elif schema.cycles[feature - numbers - categories] == "hour":
            time[row] += int(value / 24 * DAY) - time[row] % DAY
        else:
            time[row] += (int(value) - (time[row] // DAY + EPOCH_WEEKDAY) % 7) * DAY
    return Batch(numeric, categorical, time)


def explain(
    schema: TransactionSchema,
    vocabulary: Vocabulary,
    batch: Batch,
    contributions: NDArray[np.float64],
    expected: NDArray[np.float64],
    row: int,
    features: NDArray[np.int64],
) -> list[Reason]:
    """Reasons of one row of a batch, one per feature position, in the order given."""
    parts = contributions[row]
    total = float(parts.sum()) or 1.0
    return [
        _reason(schema, vocabulary, batch, row, int(feature), float(expected[row, feature]), parts[feature] / total)
        for feature in features
    ]


def cycle_text(cycle: str, micros: int) -> str:
    """The time of day ("04:15") or the weekday of a moment, UTC, by what the cycle is: "hour" or "weekday"."""
    return _clock(micros % DAY // _MINUTE) if cycle == "hour" else _WEEKDAYS[(micros // DAY + EPOCH_WEEKDAY) % 7]


def largest(parts: NDArray[np.float64], top: int) -> NDArray[np.int64]:
    """Positions of the ``top`` largest values [features], largest first."""
    return np.argsort(-parts, kind="stable")[:top]


def one_a_cause(features: NDArray[np.int64], causes: tuple[int, ...], top: int) -> NDArray[np.int64]:
    """The first ``top`` of the ordered features of which no earlier one has the same cause."""
    first = {causes[feature]: feature for feature in reversed(features.tolist())}
    return np.array([f for f in features.tolist() if first[causes[f]] == f][:top], dtype=np.int64)


def _reason(
    schema: TransactionSchema,
    vocabulary: Vocabulary,
    batch: Batch,
    row: int,
    feature: int,
    expected: float,
    share: float,
) -> Reason:
    name = schema.features[feature]
    numbers, categories = len(schema.numeric), len(schema.categorical)
    if feature < numbers:
        return _number(schema, name, float(batch.numeric[row, feature]), expected, share)
    if feature < numbers + categories:
        position = feature - numbers
        known = vocabulary.values[position]
        return _category(name, known, int(batch.categorical[row, position]), expected, share)
    cycle = schema.cycles[feature - numbers - categories]
    micros = int(batch.time[row])
    value = cycle_text(cycle, micros)
    likely = _clock(int(expected * 60)) if cycle == "hour" else _WEEKDAYS[int(expected) % 7]
    return Reason(
        name, value, likely, float(share), "different", _contrast(f"{name.replace('.', ' ')} (UTC)", value, likely)
    )


def _number(schema: TransactionSchema, name: str, value: float, expected: float, share: float) -> Reason:
    unit = schema.currency if name == schema.amount else schema.numeric_column(name).unit
    likely = f"{_figure(expected, unit)} expected"
    if math.isnan(value):
        return Reason(name, None, expected, float(share), "missing", f"{name} is missing, {likely}")
    text = f"{schema.words.get(name, name)} {_figure(value, unit)}, {likely}"
    return Reason(name, value, expected, float(share), "higher" if value > expected else "lower", text)


def _category(name: str, known: tuple[str, ...], code: int, expected: float, share: float) -> Reason:
    likely = _shown(known, round(expected))
    value = _shown(known, code)
    return Reason(name, value, likely, float(share), "different", _contrast(name, value, likely))


def _contrast(name: str, value: str, likely: str) -> str:
    if value == likely:
        return f"{name} {value} does not go with the rest"
    return f"{name} {value}, {likely} expected"


def _shown(known: tuple[str, ...], code: int) -> str:
    if not 0 < code <= len(known):
        return UNSEEN
    return known[code - 1] or "(missing)"


def _clock(minutes: int) -> str:
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def _figure(value: float, unit: str) -> str:
    if unit and len(unit) == 3 and unit.isupper():
        return f"{value:,.2f} {unit}"
    if unit == "s":
        seconds, unit = next((size, name) for size, name in _TIMES if abs(value) >= 2 * size or size == 1)
        value /= seconds
    shown = f"{value:,.0f}" if 1e3 <= abs(value) < 1e15 else f"{value:.4g}"
    return f"{shown} {unit}".rstrip()
