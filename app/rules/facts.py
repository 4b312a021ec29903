"""What rules know of a transaction: their variables, the types of these, and their values.

Variables are the columns that are sent, the behaviour features, the transaction's ``time``, what the model says, and
the lists. A column whose name is no identifier of CEL, or is taken, goes by that name with ``_`` in place of what
cannot be, or behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from app.rules.lists import NAMES, Hit
from models.schema import TransactionSchema
from models.thresholds import Decision

Kind = Literal["number", "text", "time", "truth", "columns"]
_OPINION: Mapping[str, Kind] = {
    "score": "number",
    "threshold": "number",
    "is_anomaly": "truth",
    "reconstruction_error": "number",
    "model_decision": "text",
    "model_version": "text",
}
_NOT_OF_A_NAME = re.compile(r"[^A-Za-z0-9_]")
#: Words of CEL, and its types and functions.
_WORDS = frozenset(
    _NOT_OF_A_NAME.split(
        "as bool break bytes const continue double dyn duration else false for function getDate getDayOfMonth "
        "getDayOfWeek getDayOfYear getFullYear getHours getMilliseconds getMinutes getMonth getSeconds has if import "
        "in int let list loop map matches namespace null null_type package return size string timestamp true type "
        "uint var void while"
    )
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the model says of a transaction."""

    score: float
    threshold: float
    error: float
    decision: Decision
    model_version: str


class Facts:
    """The variables of one schema. Immutable.

    Attributes:
        kinds: of each variable, by name, in the order they are told.
    """

    def __init__(self, schema: TransactionSchema) -> None:
        own: dict[str, Kind] = {**_OPINION, **dict.fromkeys(NAMES, "columns")}
        self.kinds: dict[str, Kind] = {}
        self._numbers: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._calendar = not schema.elapsed
        if schema.timestamp is not None:
            own["time"] = "time" if self._calendar else "number"
        place = {name: i for i, name in enumerate(schema.numeric)}
        behaviour = (feature.name for feature in schema.behaviour)
        for column in (*schema.inputs, *behaviour):
            if column == schema.timestamp:
                continue
            name = ".".join(map(_identifier, column.split(".")))
            while name in self.kinds or name in own:
                name += "_"
            if column in place:
                self.kinds[name], self._numbers[name] = "number", place[column]
            else:
                self.kinds[name], self._texts[name] = "text", column
        self.kinds |= own

    def of(
        self,
        names: Iterable[str],
        sent: Mapping[str, Any],
        numbers: Sequence[float],
        time: int,
        opinion: Opinion,
        hits: Sequence[Hit],
    ) -> dict[str, Any]:
        """The values of some variables.

        Args:
            sent: the transaction, as the log keeps it; a text that is missing is "".
            numbers: as the detector was given them; a number that is missing is NaN, which compares with nothing.
            time: of the transaction, microseconds as in :mod:`models.times`.
            hits: the lists that its values stand on; such a list's variable holds the names of the columns.
        """
        found: dict[str, Any] = {}
        for name in names:
            if name in self._numbers:
                found[name] = numbers[self._numbers[name]]
            elif name in self._texts:
                found[name] = sent.get(self._texts[name]) or ""
            elif name == "time":
                found[name] = _EPOCH + timedelta(microseconds=time) if self._calendar else time / 1e6
            elif name in NAMES:
                found[name] = [hit.column for hit in hits if hit.name == name]
            else:
                found[name] = _said(opinion, name)
        return found


def _identifier(part: str) -> str:
    name = _NOT_OF_A_NAME.sub("_", part) or "_"
    name = f"_{name}" if name[0].isdigit() else name
    return f"{name}_" if name in _WORDS else name


def _said(opinion: Opinion, name: str) -> float | str | bool:
    match name:
        case "is_anomaly":
            return opinion.score >= opinion.threshold
        case "reconstruction_error":
            return opinion.error
        case "model_decision":
            return opinion.decision
    found: float | str = getattr(opinion, name)
    return found
