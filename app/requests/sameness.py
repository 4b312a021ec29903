"""Whether a transaction is the one that is recorded under its id: judged by its values, not by how they are written.

A caller that got no answer sends the same again, perhaps after another model version has come with another schema. So
a record is compared with what arrives by the columns that it has:

- a transaction of the schema that serves: by the columns that both have, where one of them has all those of the other;
- one that this schema refuses: with exactly the columns that were recorded.

Times are the same where they are the same instant, numbers where they are the same number; texts to the character.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from app.problems import Refused
from app.pseudonyms import Pseudonyms
from app.requests.fields import field_type
from app.requests.idempotency import Key
from app.requests.names import load_pairs, refuse_nesting
from app.requests.strict_object import MOST_NESTED
from app.store.records import Decision, Name
from models.reading.numbers import DECIMAL
from models.schema import TransactionSchema
from models.times import TimeFormat, parse_time

_TIMES: tuple[TimeFormat, ...] = get_args(TimeFormat)
_DECIMAL = re.compile(DECIMAL.removesuffix("$") + r"\Z", re.ASCII)


def same_transaction(decision: Decision, digest: bytes, body: str) -> bool:
    """Whether a valid transaction is the one recorded.

    Args:
        digest, body: as of :class:`app.requests.arrival.Arrival`.
    """
    if decision.digest == digest:
        return True
    stored, sent = from_json(decision.body), from_json(body)
    both = stored.keys() & sent.keys()
    return len(both) == min(len(stored), len(sent)) and all(stored[name] == sent[name] for name in both)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A JSON object that is no transaction of the schema that serves, but may have been one of an earlier schema.

    Attributes:
        names: what it could be recorded under.
    """

    names: tuple[Name, ...]
    _values: Mapping[str, Any]
    _reader: FormerReader

    def same(self, decision: Decision) -> bool | None:
        """Whether it is the transaction recorded; None where it has other columns than that."""
        stored = from_json(decision.body)
        if stored.keys() != self._values.keys():
            return None
        return all(self._reader.equal(name, self._values[name], value) for name, value in stored.items())


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _is_time(sent: str | float, stored: int, form: TimeFormat) -> bool:
    try:
        return parse_time(sent if isinstance(sent, str) else float(sent), form) == stored
    except (ValueError, OverflowError):
        return False


def _digest(key: Key | None, caller: str | None, place: int) -> bytes | None:
    return None if key is None else key.digest(caller, place)


class FormerReader:
    """Reads what the request model refuses. Immutable; belongs to one model version.

    Args:
        schema: the columns.
        pseudonyms: ids that are stored as something else.
    """

    def __init__(self, schema: TransactionSchema, pseudonyms: Pseudonyms) -> None:
        self._id = schema.id
        self._pseudonyms = pseudonyms
        self._types = {name: TypeAdapter[Any](field_type(schema.columns[name])) for name in schema.inputs}

    def one(self, body: bytes, key: Key | None, caller: str | None) -> Unreadable | None:
        """The object in a body; None where there is none, or nothing that it could be recorded under.

        Args:
            key: the Idempotency-Key it came with.
        """
        if self._id is None and key is None:
            return None
        try:
            refuse_nesting(body, MOST_NESTED)
            return self._of(load_pairs(body), _digest(key, caller, 0))
        except (Refused, ValueError):
            return None

    def many(self, body: bytes, places: Iterable[int], key: Key | None, caller: str | None) -> list[Unreadable | None]:
        """The same of some of a batch that the request model has read, by their places in it."""
        values = dict(load_pairs(body))["transactions"]
        return [self._of(values[place], _digest(key, caller, place)) for place in places]

    def _of(self, pairs: Any, digest: bytes | None) -> Unreadable | None:
        if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
            return None
        values = dict(pairs)
        if len(values) != len(pairs):
            return None
        names: tuple[Name, ...] = () if digest is None else (digest,)
        if self._id is not None:
            found, own = self._read(self._id, values.get(self._id))
            if found:
                names = (own, *names)
        return Unreadable(names, values, self) if names else None

    def equal(self, name: str, sent: Any, stored: Any) -> bool:
        """Whether a value that was sent is the one that is stored."""
        if isinstance(sent, str):
            sent = self._pseudonyms.stored(name, sent)
        found, value = self._read(name, sent)
        if found and (value == stored or (stored is None and _missing(value))):
            return True
        if isinstance(sent, str) and isinstance(stored, float):
            return _DECIMAL.match(sent) is not None and float(sent) == stored
        if type(stored) is int and type(sent) in (str, int, float):
            return any(_is_time(sent, stored, form) for form in _TIMES)
        return type(sent) is not bool and bool(sent == stored)

    def _read(self, name: str, value: Any) -> tuple[bool, Any]:
        kind = self._types.get(name)
        if kind is None:
            return False, None
        try:
            return True, kind.validate_python(value)
        except ValidationError:
            return False, None
