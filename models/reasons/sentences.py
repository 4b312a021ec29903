"""Sentences about a transaction's features, from what its schema declares: units, currency, names and windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from models.behaviour.shares import counted as counted_share
from models.behaviour.spec import ELAPSED, BehaviourFeature
from models.pan import contains_card_number
from models.reasons import quantities as q
from models.reasons.phrases import BY, PHRASES, Kind
from models.reasons.times import clock
from models.schema import TransactionSchema

MOST_CHARACTERS = 110
UNSEEN = "a value not seen in training"
_PREPOSITION = {noun: preposition for preposition, nouns in BY.items() for noun in nouns}
_NOT_OF_NOUNS = ("id", "key", "hash", "no", "nr", "number", "code")
#: Kinds of which it is told what is usual also where there is none.
_COUNTED = ("count", "share", "streak", "duration")
#: Numbers that differ by less than this share of the larger one are about the same.
_ALIKE = 0.2
#: Characters of a name, of a noun and of a category's value that are shown.
_NAME, _NOUN, _VALUE = 40, 18, 30


@dataclass(frozen=True)
class Row:
    """What a sentence about one feature may mention of the others.

    Attributes:
        numeric: [numeric features], NaN where missing.
        time: microseconds.
    """

    numeric: Sequence[float]
    time: int


class Sentences:
    """One plain sentence per reason, each of at most :data:`MOST_CHARACTERS`, without ids and card numbers.

    Values are numbers as the detector takes them; what is "usual" is what it expects beside the other causes.
    """

    def __init__(self, schema: TransactionSchema) -> None:
        self._schema = schema
        self._place = {name: i for i, name in enumerate(schema.numeric)}
        self._features = {feature.name: feature for feature in schema.behaviour}
        self._said = {(one.entity, one.word, one.window, one.column): self._place[one.name] for one in schema.behaviour}

    def number(self, name: str, value: float, usual: float, row: Row) -> str:
        """Of a numeric feature, sent or of behaviour."""
        if name in self._features:
            return self._behaviour(self._features[name], value, usual, row)
        unit = self._schema.currency if name == self._schema.amount else self._schema.numeric_column(name).unit
        shown = self._in_unit(unit)
        if math.isnan(value):
            return _sentence(f"{fit(name, _NAME)} is missing", _about(usual, shown))
        said, likely = f"{fit(name, _NAME)} {shown(value)}", _about(usual, self._in_unit(unit, short=True))
        return _contrast(said, likely, same=difference(value, usual) < _ALIKE)

    def category(self, name: str, value: str, usual: str) -> str:
        """Of a categorical feature; "" is a missing value."""
        told = "not seen in training" if value == UNSEEN else fit(value, _VALUE) or "missing"
        likely = UNSEEN if usual == UNSEEN else fit(usual, _VALUE) or "missing"
        return _contrast(f"{fit(name, _NAME)} {told}", likely, same=value == usual)

    def cycle(self, cycle: str, value: str, usual: str) -> str:
        """Of the hour ("04:15") or the weekday of the payment."""
        if cycle == "hour":
            hour = (int(usual[:2]) + (usual[3:] >= "30")) % 24
            return _contrast(f"paid at {value} UTC", f"around {hour:02d}:00", same=value == usual)
        return _contrast(f"paid on a {value} (UTC)", f"on a {usual}", same=value == usual)

    def place(self, km: float) -> str:
        """Of a latitude and a longitude, by their distance from the expected place; NaN where they are missing."""
        if math.isnan(km):
            return "place of the payment is missing"
        return f"{q.kilometres(km)} from where such payments usually are"

    def _behaviour(self, feature: BehaviourFeature, value: float, usual: float, row: Row) -> str:
        phrase = PHRASES[feature.word]
        words = self._words[feature.name] | {"clock": f"{clock(row.time)} UTC"}
        if "{ago}" in phrase.said or "{trip}" in phrase.said:
            words |= self._last(feature, row)
        likely = self._usual(phrase.kind, usual) if math.isfinite(usual) else ""
        alone = bool(phrase.alone) and self._alone(feature, row)
        if alone or (phrase.zero and self._nothing(feature, value)):
            nothing = phrase.alone if alone else phrase.zero
            if phrase.kind == "km" and not alone and usual >= 1:
                return _sentence(nothing.format_map(words), f"about {q.kilometres(usual)} away")
            return _sentence(nothing.format_map(words), likely if phrase.kind in _COUNTED and likely != "none" else "")
        told, verb = self._told(phrase.kind, value, phrase.noun.format_map(words))
        template = phrase.lower if phrase.lower and value < usual else phrase.said
        same = likely.removeprefix("about ") == told.partition(" ")[0]
        return _sentence(template.format_map(words | {"value": told, "was": verb}), "" if same else likely)

    @cached_property
    def _words(self) -> dict[str, dict[str, str]]:
        """The words of each behaviour feature's phrase that are the same for every transaction."""
        found = {}
        for feature in self._schema.behaviour:
            declared = self._schema.entity[feature.entity]
            at = declared.every_window.index(feature.window) if feature.window else len(declared.every_window) - 1
            seconds, delay = declared.window_seconds[at], declared.label_delay_seconds
            who, what = noun_of(feature.entity), self._noun(feature.column)
            found[feature.name] = {
                "by": _by(who),
                "entity": f"this {who}",
                "window": q.latest(seconds),
                "span": q.span(seconds),
                "known": q.between(delay, delay + seconds) + (f" (labels take {q.span(delay)})" if delay else ""),
                "noun": what,
                "column": _by(what),
            }
        return found

    def _noun(self, column: str) -> str:
        keys = {declared.key: name for name, declared in self._schema.entity.items()}
        return noun_of(keys.get(column, column))

    def _value(self, row: Row, entity: str, word: str, window: str = "") -> float | None:
        place = self._said.get((entity, word, window, ""))
        return None if place is None else float(row.numeric[place])

    def _alone(self, feature: BehaviourFeature, row: Row) -> bool:
        """Whether the entity is known to have no payment in the feature's window."""
        counted = self._value(row, feature.entity, "count", feature.window)
        return counted == 0 or self._value(row, feature.entity, "is_new") == 1

    def _nothing(self, feature: BehaviourFeature, value: float) -> bool:
        """Whether the value says that there was nothing."""
        if feature.word in ELAPSED:
            return value >= self._schema.entity[feature.entity].window_seconds[-1]
        return value == 0

    def _last(self, feature: BehaviourFeature, row: Row) -> dict[str, str]:
        """What is known of the last payment: how long ago and how far away it was."""
        since, km = (self._value(row, feature.entity, word) for word in ("since_last", "km_from_last"))
        ago = None if since is None else f"{q.duration(since)} ago"
        trip = [part for part in (None if km is None else q.kilometres(km), ago) if part]
        return {"ago": f", {ago}" if ago else "", "trip": f" ({', '.join(trip)})" if trip else ""}

    def _told(self, kind: Kind, value: float, noun: str) -> tuple[str, str]:
        """The value in words, and the verb that goes with it."""
        match kind:
            case "count":
                return q.counted(value, noun), ""
            case "money":
                return self._in_unit(self._schema.currency)(value), ""
            case "times":
                return f"{q.rounded(value)} times", ""
            case "deviations":
                return f"{q.rounded(abs(value))} deviations {'above' if value > 0 else 'below'}", ""
            case "share":
                known = counted_share(value)
                if known is None:
                    return f"{q.rounded(100 * value)} % of payments", "were"
                return f"{known[0]:,} of {known[1]:,} payments", "was" if known[0] == 1 else "were"
            case "streak":
                return ("payment", "was") if round(value) == 1 else (q.counted(value, "payment"), "were")
            case "duration":
                return q.duration(value), ""
            case "km":
                return q.kilometres(value), ""
            case "speed":
                return f"{q.rounded(value)} km/h", ""
        return "", ""

    def _usual(self, kind: Kind, usual: float) -> str:
        match kind:
            case "count" | "streak":
                return "none" if usual < 0.5 else q.whole(usual) if usual < 9.5 else f"about {q.rounded(usual)}"
            case "share":
                return "none" if usual < 0.005 else f"about {q.whole(max(100 * usual, 1))} %"
            case "duration":
                return f"about {q.duration(max(usual, 0.0))}"
            case "km" | "speed":
                return f"about {q.rounded(usual)}" if usual >= 1 else "next to none"
            case "deviations":
                side = "above" if usual > 0 else "below"
                return f"about {q.rounded(abs(usual))} {side}" if abs(usual) >= 1 else ""
            case "money" | "times":
                return f"about {q.rounded(usual)}"
        return ""

    def _in_unit(self, unit: str, *, short: bool = False) -> Callable[[float], str]:
        """How a number is shown; ``short``: beside another one of the same unit."""
        if unit == "s":
            return q.duration
        if short:
            return q.rounded
        if unit == "km":
            return q.kilometres
        if unit and len(unit) == 3 and unit.isupper():
            digits = min(self._schema.minor_digits, 2)
            return lambda value: q.money(value, unit, digits)
        behind = fit(unit, _NOUN)
        return lambda value: f"{q.figure(value)} {behind}".rstrip()


def difference(value: float, usual: float) -> float:
    """How far a number is from the expected one, as a share of the larger: at most 1, and where one lacks."""
    size = max(abs(value), abs(usual))
    apart = abs(value - usual) / size if size else 0.0
    return 1.0 if math.isnan(apart) else min(apart, 1.0)


def fit(text: str, most: int) -> str:
    """A text of the data fit to be shown: printable, not long, no card number."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text).strip()
    if contains_card_number(shown):
        return "(withheld)"
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def noun_of(name: str) -> str:
    """The thing that a column or a section is named after: ``CUSTOMER_ID`` is a customer."""
    parts = fit(name, 128).replace("_", " ").replace("-", " ").lower().split()
    while len(parts) > 1 and parts[-1] in _NOT_OF_NOUNS:
        parts.pop()
    return fit(" ".join(parts), _NOUN)


def _by(noun: str) -> str:
    return f"{_PREPOSITION.get(noun.rpartition(' ')[2], 'of')} this {noun}"


def _about(usual: float, shown: Callable[[float], str]) -> str:
    return f"about {shown(usual)}" if math.isfinite(usual) else ""


def _contrast(said: str, usual: str, *, same: bool) -> str:
    return f"{said} does not go with the rest" if same else _sentence(said, usual)


def _sentence(said: str, usual: str) -> str:
    whole = f"{said}, usually {usual}" if usual else said
    return whole if len(whole) <= MOST_CHARACTERS else said[:MOST_CHARACTERS].rstrip()
