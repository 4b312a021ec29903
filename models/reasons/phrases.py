"""What is said of each behaviour word: one table, filled in by :mod:`models.reasons.sentences`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: How a value is told, and what is usual: see ``sentences.py``.
Kind = Literal["count", "money", "times", "deviations", "share", "streak", "duration", "km", "speed", "flag"]


@dataclass(frozen=True)
class Phrase:
    """A sentence with places for words.

    ``{value}``; ``{by}`` "with this card", ``{entity}`` "this card"; ``{window}`` "the last 7 days", ``{span}``
    "7 days"; ``{known}`` "7 to 35 days ago (labels take 7 days)", the window of what labels say; ``{column}`` "at this
    merchant", what is counted or new; ``{ago}`` and ``{trip}`` what is known of the last payment;
    ``{clock}`` "04:15 UTC"; ``{was}``.

    Attributes:
        kind: of the value.
        said: with the value.
        zero: where the value is 0, of a time that of the whole window; without one 0 is a value like any other.
        alone: where the entity has no payment in the window; without one that changes nothing.
        lower: where the value is below the expected one, if that is another sentence.
        noun: what is counted.
    """

    kind: Kind
    said: str
    zero: str = ""
    alone: str = "no payment {by} in {window} to compare with"
    lower: str = ""
    noun: str = ""


_NO = "no payment {by} in {window}"

PHRASES = {
    "count": Phrase("count", "{value} {by} in {window}", _NO, _NO, noun="payment"),
    "sum": Phrase("money", "payments {by} in {window} come to {value}", alone=_NO),
    "mean": Phrase("money", "payments {by} in {window} are {value} on average"),
    "std": Phrase("money", "payments {by} spread by {value} within {span}"),
    "max": Phrase("money", "largest payment {by} in {window} is {value}"),
    "distinct": Phrase("count", "{value} {by} in {window}", _NO, _NO, noun="different {noun}"),
    "ratio_to_mean": Phrase("times", "amount is {value} the mean of {entity} in {window}"),
    "zscore": Phrase(
        "deviations",
        "amount is {value} the mean of {entity} in {window}",
        "too few payments {by} in {window} to compare with",
    ),
    "fraud_share": Phrase("share", "{value} {by} {known} {was} fraud", "no known fraud {by} {known}", ""),
    "fraud_count": Phrase("count", "{value} {by} {known}", "no known fraud {by} {known}", "", noun="known fraud"),
    "fraud_streak": Phrase(
        "streak", "last {value} {by} {known} {was} fraud", "last known payment {by} was no fraud", ""
    ),
    "since_last": Phrase("duration", "{value} since the last payment {by}", alone="no payment {by} in {span}"),
    "since": Phrase(
        "duration",
        "{value} since the last payment {by} {column}",
        "no payment {by} {column} in {span}",
        "no payment {by} in {span}",
    ),
    "since_first": Phrase(
        "duration", "{value} since the first payment {by} {column}", "no payment {by} {column} in {span}"
    ),
    "ratio_to_same": Phrase("times", "amount is {value} the mean of {entity} {column} in {span}"),
    "same": Phrase(
        "count", "{value} {by} {column} in {window}", "no payment {by} {column} in {window}", _NO, noun="payment"
    ),
    "km_from_last": Phrase("km", "{value} from the last payment {by}{ago}", "at the place of the last payment {by}"),
    "km_from_usual": Phrase("km", "{value} from the usual places of {entity}", "at a usual place of {entity}"),
    "kmh": Phrase("speed", "{value} since the last payment {by}{trip}", "at the place of the last payment {by}"),
    "new": Phrase(
        "flag",
        "first payment {by} {column} in {span}",
        "there were payments {by} {column} before, though the rest looks like a first one",
    ),
    "is_new": Phrase(
        "flag",
        "first payment {by} in {span}",
        "there were payments {by} before, though the rest looks like a first one",
        "",
    ),
    "hour_rarity": Phrase(
        "flag",
        "payments {by} are rare around {clock}",
        lower="payments {by} are common around {clock}, which does not go with the rest",
    ),
}

#: Nouns that payments are made at, with or by; of any other they are made "of".
BY = {
    "at": ("merchant", "terminal", "shop", "store", "atm", "pos", "branch"),
    "with": ("card", "account", "device", "wallet", "token", "phone"),
    "by": ("customer", "user", "client", "payer", "person", "holder", "cardholder"),
    "from": ("ip", "address", "email"),
    "in": ("country", "city", "region", "state", "currency", "category"),
    "to": ("payee", "beneficiary", "recipient"),
}
