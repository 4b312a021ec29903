"""Which column says what became of a payment, and which others give it away."""

from __future__ import annotations

import re

import polars as pl

from models.schema import IgnoreColumn, LabelColumn, ScenarioColumn
from training.guess import names
from training.guess.facts import Facts
from training.guess.table import Guess, Table

FRAUD = ("1", "true", "t", "y", "yes", "fraud", "fraudulent", "confirmed", "confirmed fraud", "bad", "ja", "oui",
         "si", "betrug", "fraude",
         "chargeback", "f", "x", "ano", "tak", "sim", "是", "はい")  # fmt: skip
LEGITIMATE = ("0", "false", "n", "no", "legit", "legitimate", "genuine", "normal", "good", "ok", "nein", "non",
              "none", "not fraud",
              "non-fraud", "nonfraud", "non fraud", "clean", "valid", "echt", "-1",
              "nei", "nej", "nao", "nie", "否", "いいえ")  # fmt: skip
_UNKNOWN = ("unknown", "pending", "unlabeled", "unlabelled", "n/a", "na", "null", "?", "unbekannt", "open")
_MOST_VALUES = 40
_SPEAKS = ("fraud", "betrug", "chargeback", "svindel", "bedrageri")
#: What a kind of row, a status or a tag is called that means fraud.
_CHARGED = ("chargeback", "chargedback", "fraud", "fraudulent")


def find_label(table: Table, known: str | None) -> None:
    """Take the label, leave out what else says it, and take the scenario."""
    named = table.candidates(lambda facts: names.is_any(facts.name, names.LABEL) or _says_fraud(facts))
    if known is not None:
        column = _column(table.facts[known].present) or LabelColumn()
        table.take(Guess(known, column, "said to be the label", "sure"))
    elif (label := _best(named)) or (label := _late(table)):
        table.take(label)
    for facts in table.candidates(lambda facts: names.has(facts.name, names.SCENARIO)):
        if not table.find(ScenarioColumn):
            table.take(Guess(facts.name, ScenarioColumn(), "named as the kind of fraud"))
    has_label = bool(table.find(LabelColumn))
    for facts in named:
        if facts.name not in table.open or (
            names.is_any(facts.name, ("class", "y", "target", "outcome", "label")) and not _values(facts)
        ):
            continue
        reason = (
            "looks like a second label" if has_label else "looks like a label of unknown values: say which are fraud"
        )
        table.take(
            Guess(facts.name, IgnoreColumn(), f"{reason}; known only later", "likely" if has_label else "doubtful")
        )


def _says_fraud(facts: Facts) -> bool:
    words = names.words(facts.name)
    return any(word.startswith(_SPEAKS) for word in words) and not names.has(facts.name, names.SCENARIO)


def _best(named: list[Facts]) -> Guess | None:
    """The column whose values are those of a label; one that says fraud before one that says class."""
    fitting = [(facts, column) for facts in named if (column := _values(facts))]
    fitting.sort(key=lambda pair: (not _says_fraud(pair[0]), names.has(pair[0].name, names.LATER), _rank(pair[0].name)))
    for facts, column in fitting:
        sure = _says_fraud(facts) and facts.distinct == 2
        reason = "named as a label, its values are those of one"
        return Guess(facts.name, column, reason, "sure" if sure else "likely")
    return None


def _rank(name: str) -> int:
    return next((place for place, phrase in enumerate(names.LABEL) if names.is_any(name, (phrase,))), len(names.LABEL))


def _values(facts: Facts) -> LabelColumn | None:
    return _column(facts.present) if facts.distinct <= _MOST_VALUES else None


def _column(present: pl.Series) -> LabelColumn | None:
    """The label that a column's values make, in the values' own words; None where they are not those of a label."""
    seen = {_plain(value) for value in present.unique()}
    fraud = [value for value in FRAUD if value in seen]
    legitimate = [value for value in LEGITIMATE if value in seen]
    unknown = [value for value in _UNKNOWN if value in seen]
    if not seen or seen - {*fraud, *legitimate, *unknown} or not (fraud or legitimate):
        return None
    if seen <= {"0", "1", "true", "false"}:
        return LabelColumn(unknown=tuple(unknown))
    if len(fraud) > 1 and not legitimate:
        return None
    if seen == {"x"} and not present.is_empty():
        return LabelColumn(fraud=("x",), legitimate=("",))
    # Only one of both was seen: its usual opposite is meant.
    return LabelColumn(
        fraud=tuple(fraud or [_opposite(legitimate[0], LEGITIMATE, FRAUD)]),
        legitimate=tuple(legitimate or [_opposite(fraud[0], FRAUD, LEGITIMATE)]),
        unknown=tuple(unknown),
    )


def _opposite(value: str, those: tuple[str, ...], others: tuple[str, ...]) -> str:
    pairs = {"no": "yes", "n": "y", "legit": "fraud", "legitimate": "fraud", "genuine": "fraud", "normal": "fraud",
             "nein": "ja",
             "yes": "no", "y": "n", "fraud": "legit", "ja": "nein", "fraudulent": "legitimate"}  # fmt: skip
    return pairs.get(value, others[min(those.index(value), len(others) - 1)])


def _plain(value: str) -> str:
    return value.strip().lower().removesuffix(".0")


def _late(table: Table) -> Guess | None:
    """A label read from what a dispute left behind: the reason, or a kind of row."""
    for facts in table.candidates(lambda facts: facts.distinct <= _MOST_VALUES and facts.numbers is None):
        values = sorted({_plain(value) for value in facts.present.unique()})
        spoken = {value: re.sub("[ _-]", "", value) for value in values}
        fraud = tuple(value for value in values if "fraud" in value and not value.startswith(("no", "not ")))
        if names.has(facts.name, names.LATE_LABEL) and fraud:
            column = LabelColumn(fraud=fraud, legitimate=("",), otherwise="legitimate")
            reason = "no label, but a dispute's reason that speaks of fraud; no dispute is taken for legitimate"
            return Guess(facts.name, column, reason, "doubtful")
        charged = tuple(value for value, said in spoken.items() if said in _CHARGED)
        others = len(values) > len(charged) or facts.missing
        if names.has(facts.name, ("type", "status", "tags", "tag")) and charged and others:
            reason = "no label, but a kind of row that is fraud; every other kind is taken for legitimate"
            return Guess(
                facts.name, LabelColumn(fraud=charged, legitimate=("",), otherwise="legitimate"), reason, "doubtful"
            )
    return None
