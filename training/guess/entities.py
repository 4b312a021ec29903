"""Whom a payment belongs to and who it goes to, and what is worth remembering of them."""

from __future__ import annotations

from typing import cast

from models.behaviour.spec import EntityBehaviour
from models.schema import (
    AmountColumn,
    CategoricalColumn,
    EntityColumn,
    IdColumn,
    IgnoreColumn,
    LabelColumn,
    LabelTimestampColumn,
    NumericColumn,
    TimestampColumn,
)
from training.guess import names
from training.guess.facts import Facts
from training.guess.table import Guess, Table, best

_MOST_TEXT = 1_000
_FEWEST, _MOST_DISTINCT, _MOST_AT_FIRST = 5, 0.75, 0.995
#: Of a column of card numbers nearly all pass; of random long numbers a few in a hundred do.
_CARD_NUMBERS = 0.3
_KINDS_OF = ("type", "brand", "category", "country", "city", "state", "zip", "class", "group", "risk", "present",
             "age", "expiry", "exp",
             "expires", "date", "month", "year", "open", "opened", "time", "mcc", "code", "limit", "status", "lat",
             "long", "lon", "level",
             "mode", "region", "score", "first six", "last", "funding", "bin", "issuer", "balance", "amount",
             "count")  # fmt: skip
#: Words of names that name one thing.
_NAMING = ("id", "number", "num", "no", "fingerprint", "reference", "token", "key", "hash")
_DAMAGED = "long numbers that a spreadsheet has rounded (4.1E+15): the ids are lost; export the column as text"


def find_entities(table: Table) -> None:
    """Take the id and the entities: cards and customers, merchants, terminals, devices."""
    for facts in table.candidates(lambda facts: facts.damaged):
        table.take(Guess(facts.name, IgnoreColumn(), _DAMAGED, "doubtful"))
    _id(table)
    for facts in table.candidates(lambda facts: facts.card_number_share > _CARD_NUMBERS):
        _card_numbers(table, facts)
    _composite(table)
    for kind, phrases in names.ENTITIES.items():
        for facts in [
            facts
            for facts in table.candidates(lambda facts: facts.missing == 0)
            if _is_entity(facts, phrases, whole=table.whole)
        ]:
            column = EntityColumn.model_validate({"kind": "entity", **_text_form(facts)})
            table.take(Guess(facts.name, column, f"a {kind}: {facts.distinct:,} different ones come again", "likely"))


def _text_form(facts: Facts) -> dict[str, object]:
    """How its texts are read: numbers have one text, and long ones are no card numbers where few pass for one."""
    form: dict[str, object] = {"max_length": max(64, facts.longest)}
    if facts.numbers is not None:
        form["any_type"] = True
    if 0 < facts.card_number_share <= _CARD_NUMBERS or (facts.numbers is not None and facts.longest >= 13):
        form["no_card_numbers"] = True
    return form


def _id(table: Table) -> None:
    candidates = table.candidates(
        lambda f: f.unique and f.missing == 0 and 0 < f.longest <= _MOST_TEXT and names.is_any(f.name, names.ID)
    )
    chosen = best(
        candidates, lambda f: names.has(f.name, ("transaction", "tx", "txn", "trans", "payment", "event", "psp"))
    )
    if chosen is None:
        return
    form = _text_form(chosen)
    if _looks_random(chosen):
        form["no_card_numbers"] = True
    table.take(
        Guess(chosen.name, IdColumn.model_validate({"kind": "id", **form}), "names each row, no two alike", "sure")
    )
    for facts in candidates:
        if facts is not chosen:
            table.take(Guess(facts.name, IgnoreColumn(), "another name of the row"))


def _looks_random(facts: Facts) -> bool:
    """Hex, UUID or base-64 of 20 characters and more, whose digits now and then pass for a card number."""
    return facts.longest >= 20 and facts.share(r"[A-Za-z]") > 0.5


def _card_numbers(table: Table, facts: Facts) -> None:
    if facts.missing == 0 and facts.distinct > 1:
        column = EntityColumn(key_hash=True, max_length=64)
        reason = "card numbers: only a keyed hash is kept, never the number"
        table.take(Guess(facts.name, column, reason, "sure"))
    else:
        table.take(
            Guess(facts.name, None, "card numbers with empty cells: refused; replace them by a pseudonymous id", "sure")
        )


def _composite(table: Table) -> None:
    """A small number of the card beside the customer it is one of: together they name the card."""
    small = table.candidates(
        lambda f: names.is_any(f.name, ("card", "card no", "card index")) and f.digits_only and f.distinct <= 50
    )
    owners = table.candidates(lambda f: _is_entity(f, names.ENTITIES["customer"], whole=table.whole))
    better = table.candidates(lambda f: _is_entity(f, names.ENTITIES["card"], whole=table.whole) and f not in small)
    if better or not small or not owners or small[0].distinct >= owners[0].distinct or small[0].missing:
        return
    together = (owners[0].name, small[0].name)
    column = EntityColumn.model_validate({"kind": "entity", "from": together, "any_type": True, "max_length": 128})
    reason = f"{' and '.join(together)} together: the second alone counts the cards of each"
    table.take(
        Guess(table.free_name("card", "card_key", "card_of_user"), column, reason, "likely", together), *together
    )


def _is_entity(facts: Facts, phrases: tuple[str, ...], *, whole: bool) -> bool:
    if facts.missing or not names.has(facts.name, phrases) or names.has(facts.name, names.CARD_PART):
        return False
    if names.has(facts.name, _KINDS_OF) and not names.has(facts.name, _NAMING):
        return False
    most = _MOST_DISTINCT if whole else _MOST_AT_FIRST  # at the beginning of a large table few come again yet
    comes_again = _FEWEST <= facts.distinct <= most * len(facts.present)
    few = (
        facts.distinct <= 20
        and len(facts.present) > 40 * facts.distinct
        and facts.longest < 8
        and not facts.digits_only
    )
    fraction = facts.numbers is not None and not facts.whole
    return comes_again and not few and not fraction and facts.longest <= _MOST_TEXT


def sections(table: Table, span_days: float) -> dict[str, EntityBehaviour]:
    """What to remember of the card (or customer) and of the merchant: behaviour features are on by default.

    Args:
        span_days: of the whole table, infinite where only a part was looked at.
    """
    time = next((cast(TimestampColumn, g.column) for g in table.find(TimestampColumn)), None)
    if time is None:
        return {}
    coarse = 86_400 if (time.format == "steps" and (time.step_seconds or 0) >= 86_400) or _only_days(time) else 0
    windows = [w for w, days in (("1h", 1 / 24), ("1d", 1.0), ("7d", 7.0), ("30d", 30.0)) if days <= span_days / 3]
    windows = [w for w in windows if not coarse or w != "1h"] or ["1d"]
    if coarse:
        windows = [w for w in windows if w != "1d"] or ["7d"]
    keys = {kind: _key(table, phrases) for kind, phrases in names.ENTITIES.items()}
    found: dict[str, EntityBehaviour] = {}
    merchant = keys["merchant"] or keys["terminal"]
    owner = next((kind for kind in ("card", "customer") if keys[kind]), None)
    calendar = not time.elapsed and "hour" in time.cycles
    if owner is not None:
        key = cast(str, keys[owner])
        ratio = [] if table.amount_below_zero else ["ratio_to_mean"]  # a mean near zero would make it huge
        features = ["count", *(["sum", "mean", "std", "max", *ratio, "zscore"] if table.amount else [])]
        others = [name for name in (merchant, _country(table)) if name and name != key]
        features += [*(f"distinct:{name}" for name in others), "since_last", *(f"new:{name}" for name in others[:1])]
        place = _place(table)
        features += ["km_from_last", "kmh"] if place else []
        features += ["hour_rarity"] if calendar else []
        form: dict[str, object] = {"key": key, "windows": tuple(windows), "features": tuple(features)}
        found[owner] = EntityBehaviour.model_validate(form | ({"place": place} if place else {}))
    if merchant:
        longer = [w for w in windows if w != "1h"] or windows
        features = ["count", *(["mean"] if table.amount else []), *(["fraud_share"] if table.find(LabelColumn) else [])]
        kind = "merchant" if merchant == keys["merchant"] else "terminal"
        delay = "0d" if table.find(LabelTimestampColumn) else "7d"  # what says since when needs no waiting
        found[kind] = EntityBehaviour(key=merchant, windows=tuple(longer), features=tuple(features), label_delay=delay)
    return found


def _only_days(time: TimestampColumn) -> bool:
    return "%" in time.format and "%H" not in time.format and "%I" not in time.format


def _key(table: Table, phrases: tuple[str, ...]) -> str | None:
    """The entity that a section is about: the one whose name says most, with history behind it."""
    found = [guess.name for guess in table.find(EntityColumn) if names.has(guess.name, phrases)]
    return min(found, key=lambda name: not names.has(name, _NAMING), default=None)


def _country(table: Table) -> str | None:
    found = [
        guess.name
        for guess in table.find(CategoricalColumn)
        if names.has(guess.name, ("country", "land", "pays", "pais"))
    ]
    return found[0] if found else None


def _place(table: Table) -> tuple[str, str] | None:
    """Where the payment was made, in bounds of latitude and longitude."""
    found: list[str] = []
    for limit in (90.0, 180.0):
        for guess in table.find(NumericColumn):
            column = guess.column
            if (
                isinstance(column, NumericColumn)
                and not isinstance(column, AmountColumn)
                and column.maximum == limit
                and column.minimum == -limit
            ):
                found.append(guess.name)
                break
    return (found[0], found[1]) if len(found) == 2 else None
