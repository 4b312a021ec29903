"""Every column that is no label, time, amount or entity: a feature, a code, something derived, or left out."""

from __future__ import annotations

import numpy as np
import polars as pl

from models.schema import CategoricalColumn, IgnoreColumn, LabelColumn, NumericColumn
from models.schema.base import is_name, names_verification_value
from training.guess import names
from training.guess.facts import Facts
from training.guess.moments import find_pattern
from training.guess.table import Guess, Table

_MOST_CATEGORIES, _MOST_CODES, _MOST_TEXT = 200, 1_000, 1_000
_FEWEST_RISING = 100
_PREFIXES = (
    (("mcc",), 2),
    (("zip", "zipcode", "postcode", "postal", "plz"), 3),
    (("first six", "first 6", "bin", "iin"), 4),
)


def find_the_rest(table: Table) -> None:
    """Guess every column that is still open."""
    _places(table)
    for name in list(table.open):
        table.take(_guess(table, table.facts[name]))


def _ignored(name: str, reason: str) -> Guess:
    return Guess(name, IgnoreColumn(), reason)


def leave_out_unusable(table: Table) -> None:
    """Leave out what a profile cannot name, and what may not be kept."""
    for facts in table.candidates(lambda facts: facts.other):
        table.take(_ignored(facts.name, f"holds {facts.cells.dtype}; neither numbers, text nor times"))
    for facts in table.candidates(lambda facts: not is_name(facts.name)):
        reason = "a profile cannot name this column; give it a name of 1 to 128 printable characters"
        table.take(Guess(facts.name, None, reason, "sure"))
    for facts in table.candidates(
        lambda facts: names_verification_value(facts.name) or names.is_any(facts.name, ("pin", "pin block"))
    ):
        reason = "a card verification value: it may not be stored after authorisation (PCI DSS 3.3); delete the column"
        table.take(Guess(facts.name, IgnoreColumn(), reason, "sure"))


def _guess(table: Table, facts: Facts) -> Guess:
    name, kind = facts.name, facts.cells.dtype
    if len(facts.present) == 0:
        return _ignored(name, "every cell is empty")
    if names.has(name, names.BIRTH) and (guess := _age(table, facts)):
        return guess
    if copied := table.copied(facts):
        return _ignored(name, f"a copy of {copied}")
    if names.has(name, names.LATER) or _has_later_values(facts):
        return _ignored(name, "known only after the payment, so it would give the answer away")
    if kind.is_temporal() or (facts.numbers is None and find_pattern(facts.present)):
        return _ignored(name, "another time; one orders the rows")
    if (
        names.has(name, ("exp", "expiry", "expiration", "expires"))
        and facts.numbers is None
        and facts.matches("^[0-9/. -]+$")
    ):
        return _ignored(name, "a date of the card, not of the payment")
    if facts.distinct == 1 and facts.missing == 0:
        return _ignored(name, "the same in every row")
    if kind == pl.Boolean or _is_boolean(facts):
        return _category(facts, "true or false", any_type=True)
    if _is_code(facts):
        return _code(table, facts)
    if facts.numbers is not None:
        return _number(facts, table)
    return _text(facts)


def _has_later_values(facts: Facts) -> bool:
    """Whether a status says what became of the payment."""
    if not names.has(facts.name, ("status", "state", "type")) or facts.distinct > 30:
        return False
    return bool(facts.values.str.to_lowercase().str.contains_any(list(names.LATER_VALUES)).any())


def _is_boolean(facts: Facts) -> bool:
    return facts.distinct <= 2 and facts.matches(r"^(?i:true|false|yes|no|y|n|t|f)$")


def _is_code(facts: Facts) -> bool:
    """Digits that name a thing and count nothing: written with zeros before them, or named so."""
    if facts.leading_zeros or names.has(facts.name, names.CARD_PART):
        return True
    if names.has(facts.name, names.QUANTITY):
        return False
    return (
        facts.whole
        and names.has(facts.name, names.CODE)
        and facts.distinct <= max(_MOST_CODES, len(facts.present) // 20)
    )


def _category(facts: Facts, reason: str, **form: object) -> Guess:
    column = CategoricalColumn.model_validate(
        {"kind": "categorical", "nullable": facts.missing > 0, "max_length": max(64, facts.longest), **form}
    )
    return Guess(facts.name, column, reason)


def _code(table: Table, facts: Facts) -> Guess:
    if names.has(facts.name, ("last", "last 4", "last four", "last digits")):
        return _ignored(facts.name, "part of a card number: names a card and says nothing of a payment")
    form = {"any_type": True} if facts.numbers is not None and not facts.leading_zeros else {}
    if facts.distinct <= _MOST_CATEGORIES:
        return _category(facts, "digits that name a kind of thing, no quantity", **form)
    for phrases, length in _PREFIXES:
        if names.has(facts.name, phrases):
            name = table.free_name(f"{facts.name}_prefix")
            column = CategoricalColumn.model_validate(
                {
                    "kind": "categorical",
                    "from": (facts.name,),
                    "derive": "prefix",
                    "length": length,
                    "nullable": facts.missing > 0,
                }
            )
            reason = f"{facts.distinct:,} different codes: their first {length} characters are kept"
            return Guess(name, column, reason, "likely", (facts.name,))
    return _ignored(facts.name, f"a code with more than {_MOST_CATEGORIES} values")


def _number(facts: Facts, table: Table) -> Guess:
    numbers = facts.numbers
    assert numbers is not None
    if len(numbers) == 0:
        return _ignored(facts.name, "every cell is empty")
    if facts.rising and len(numbers) >= _FEWEST_RISING and facts.distinct > 2:
        return _ignored(
            facts.name,
            "only rises from row to row, as a counter or a clock does; it says nothing of a single transaction",
        )
    named = names.has(facts.name, ("id", "number", "num", "no", "reference", "ref", "stan", "rrn", "key", "uuid"))
    if named and facts.whole and facts.distinct > len(facts.present) // 2:
        return _ignored(facts.name, "a number that names things and counts nothing")
    nullable = facts.missing > 0 or len(numbers) < len(facts.present)
    if _minus_one_is_missing(numbers):
        column = NumericColumn(nullable=True, missing=("-1",))
        return Guess(facts.name, column, "a number; -1, the only value below zero, is taken for missing")
    return Guess(facts.name, NumericColumn(nullable=nullable), "a number")


def _minus_one_is_missing(numbers: np.typing.NDArray[np.float64]) -> bool:
    below = numbers[numbers < 0]
    return len(below) > 0 and bool((below == -1).all()) and len(below) < len(numbers) and len(np.unique(numbers)) > 3


def _text(facts: Facts) -> Guess:
    if names.has(facts.name, names.PERSONAL):
        return _ignored(facts.name, "says who somebody is, not what the payment is like")
    if facts.longest > _MOST_TEXT:
        return _ignored(facts.name, f"text of more than {_MOST_TEXT} characters")
    if facts.distinct > _MOST_CATEGORIES:
        return _ignored(facts.name, f"text with more than {_MOST_CATEGORIES} values")
    if facts.card_number_share > 0:
        return Guess(facts.name, None, "holds what looks like card numbers: replace them by a pseudonymous id", "sure")
    return _category(facts, f"{facts.distinct:,} different values")


def _age(table: Table, facts: Facts) -> Guess | None:
    pattern = find_pattern(facts.present) if facts.cells.dtype == pl.String else None
    form = "%Y-%m-%d" if facts.cells.dtype.is_temporal() else pattern.pattern if pattern else None
    if form is None or not table.has_calendar:
        return None
    column = NumericColumn.model_validate(
        {
            "kind": "numeric",
            "from": (facts.name,),
            "derive": "age",
            "format": form,
            "unit": "y",
            "nullable": facts.missing > 0,
        }
    )
    return Guess(table.free_name("age", "age_years"), column, f"years since {facts.name}", "likely", (facts.name,))


def _places(table: Table) -> None:
    """Latitude and longitude: the place of the payment, and how far it is from another place of the same row."""
    pairs: list[tuple[Facts, Facts]] = []
    longitudes = table.candidates(lambda f: names.has(f.name, names.LONGITUDE) and _within(f, 180.0))
    for latitude in table.candidates(lambda f: names.has(f.name, names.LATITUDE) and _within(f, 90.0)):
        rest = set(names.words(latitude.name)) - set(names.LATITUDE)
        same = [f for f in longitudes if set(names.words(f.name)) - set(names.LONGITUDE) == rest]
        pairs += [(latitude, f) for f in same[:1]]
    if not pairs:
        return
    pairs.sort(
        key=lambda pair: (
            not names.has(pair[0].name, ("merch", "merchant", "shop", "terminal", "pos", "store", "tx", "dest"))
        )
    )
    place = pairs[0]
    for facts, limit in zip(place, (90.0, 180.0), strict=True):
        column = NumericColumn(minimum=-limit, maximum=limit, unit="deg", nullable=facts.missing > 0)
        table.take(Guess(facts.name, column, "the place of the payment"))
    for other in pairs[1:2]:
        fields = (*(f.name for f in other), *(f.name for f in place))
        column = NumericColumn.model_validate(
            {"kind": "numeric", "from": fields, "derive": "distance", "unit": "km",
             "nullable": any(table.facts[f].missing for f in fields)}
        )  # fmt: skip
        reason = f"how far the payment is from {other[0].name}, {other[1].name}"
        table.take(Guess(table.free_name("distance_km"), column, reason, "likely", fields), *(f.name for f in other))


def _within(facts: Facts, limit: float) -> bool:
    found = facts.numbers
    return found is not None and len(found) > 0 and not facts.whole and bool((np.abs(found) <= limit).all())


def without_leaks(table: Table) -> list[str]:
    """Features that alone tell fraud from the rest nearly without error, in words: each is likely known only later."""
    label = next((guess for guess in table.find(LabelColumn) if guess.name in table.facts), None)
    if label is None or not isinstance(label.column, LabelColumn):
        return []
    cells = (
        table.facts[label.name].cells.cast(pl.String, strict=False).fill_null("").str.strip_chars().str.to_lowercase()
    )
    fraud = cells.str.replace(r"\.0+$", "").is_in([value.lower() for value in label.column.fraud]).to_numpy()
    warnings: list[str] = []
    for guess in list(table.guesses.values()):
        facts = table.facts.get(guess.name)
        if (
            facts is None
            or guess.name == table.amount
            or not guess.is_feature
            or fraud.sum() < 20
            or fraud.mean() > 0.5
        ):
            continue
        if (found := _found_alone(facts, fraud)) >= 0.95:
            share = f"this column alone finds {found:.0%} of the fraud with hardly a false alarm"
            warnings.append(f"{guess.name}: {share}; is it known when a payment is scored? Left out")
            table.guesses[guess.name] = Guess(
                guess.name, IgnoreColumn(), f"{share}: likely known only later", "doubtful"
            )
    return warnings


def _found_alone(facts: Facts, fraud: np.typing.NDArray[np.bool_]) -> float:
    """Share of the fraud in groups of rows, equal in this column, that are fraud but for one in a hundred."""
    frame = pl.DataFrame({"value": facts.cells.cast(pl.String, strict=False), "fraud": fraud})
    groups = frame.group_by("value").agg(pl.col("fraud").sum(), pl.len().alias("rows"))
    pure = groups.filter((pl.col("fraud") >= 0.99 * pl.col("rows")) & (pl.col("rows") >= 5))
    found = float(pure["fraud"].sum()) / float(fraud.sum())
    numbers = facts.cells.cast(pl.Float64, strict=False)
    if numbers.null_count() == facts.cells.null_count() and facts.distinct > 2:
        order = np.argsort(numbers.fill_null(0).to_numpy(), kind="stable")
        for ranked in (fraud[order], fraud[order[::-1]]):
            found = max(found, float(ranked[: int(fraud.sum() * 1.02)].sum()) / float(fraud.sum()))
    return found
