"""Which decisions a request asks for: its query read strictly, every value checked, none repeated."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from starlette.requests import Request

from app.problems import Refused, name_or_withheld
from app.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from app.refusals import FieldProblem
from app.requests.feedback import LABELS
from app.store.contract import Store
from app.store.query import Filter, Recorded
from models.behaviour.keys import EntityKey, key_digest
from models.pan import contains_card_number
from models.schema import TransactionSchema
from models.thresholds import DECISIONS
from models.times import moment

DEFAULT_LIMIT, MOST = 100, 1_000
FORMATS = ("csv", "parquet")
_LONGEST = 1_000
_CURSOR = struct.Struct(">q")
#: What a cursor looks like: eight bytes, the first below 128.
CURSOR = r"^[A-Za-f][A-Za-z0-9_-]{9}[AEIMQUYcgkosw048]$"
_NUMBER = re.compile(r"[0-9](?:\.[0-9]{1,30})?(?:e-?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class DecisionQuery:
    """What a request asks for.

    Attributes:
        before: a page begins before this place in the order of arrival; None for the newest.
        limit: most decisions of a page.
        format: of an export.
        transactions: whether an export holds these, and not the decisions.
    """

    filter: Filter
    before: int | None = None
    limit: int = DEFAULT_LIMIT
    format: str = "csv"
    transactions: bool = False


def decision_query(
    request: Request, schema: TransactionSchema, *more: str, pseudonyms: Pseudonyms = NO_PSEUDONYMS
) -> DecisionQuery:
    """The query of a request; see :func:`read`."""
    return read(pairs(request.scope["query_string"]), schema, *more, pseudonyms=pseudonyms)


def read(
    pairs: Iterable[tuple[str, str]],
    schema: TransactionSchema,
    *more: str,
    pseudonyms: Pseudonyms = NO_PSEUDONYMS,
) -> DecisionQuery:
    """Parameters and their values as what they ask for.

    Args:
        schema: its ``[entity]`` sections are filters, too: ``card=ID``.
        more: parameters beside the filters: limit, cursor, format, transactions.
        pseudonyms: of the store.

    Raises:
        Refused: 422, naming the parameter.
    """
    entities = entity_filters(schema)
    readers: dict[str, Callable[[str], Any]] = {**_FILTERS, "limit": _limit, "cursor": read_cursor}
    readers |= {"format": _format, "transactions": _truth}
    filters: dict[str, Any] = {}
    others: dict[str, Any] = {}
    keys: list[EntityKey] = []
    for name, text in pairs:
        if name not in (*FILTERS, *more, *entities):
            refuse(
                name_or_withheld(name), f"unknown parameter; expected one of {', '.join((*FILTERS, *entities, *more))}"
            )
        into = others if name in more else filters
        if name in into or name in (entity for entity, _ in keys):
            refuse(name, "appears twice")
        try:
            if name in entities:
                keys.append(entity_key(name, pseudonyms.stored(entities[name], checked_text(text))))
            else:
                into[name] = readers[name](checked_text(text))
        except ValueError as error:
            refuse(name, str(error))
    return DecisionQuery(
        Filter(**filters, entities=tuple(keys)),
        others.get("cursor"),
        others.get("limit", DEFAULT_LIMIT),
        others.get("format", FORMATS[0]),
        others.get("transactions", False),
    )


def entity_filters(schema: TransactionSchema) -> dict[str, str]:
    """The ``[entity]`` sections that can be asked for, and the column of each that says which one."""
    taken = (*FILTERS, "limit", "cursor", "format", "transactions")
    return {name: behaviour.key for name, behaviour in schema.entity.items() if name not in taken}


def entity_key(entity: str, value: str) -> EntityKey:
    """The key under which an entity is kept, from the value of its column as stored, e.g. a card's id."""
    return entity, key_digest(value)


def checked_text(text: str) -> str:
    """A value that may be looked up.

    Raises:
        ValueError: empty, too long, with a NUL character, or a card number.
    """
    if not text:
        raise ValueError("missing value")
    if len(text) > _LONGEST:
        raise ValueError(f"longer than {_LONGEST:,} characters")
    if "\0" in text:
        raise ValueError("holds a NUL character")
    if contains_card_number(text):
        raise ValueError("looks like a card number; no card number is kept here")
    return text


def cursor(before: int) -> str:
    """Where the next page begins, for the caller to hand back."""
    return base64.urlsafe_b64encode(_CURSOR.pack(before)).decode().rstrip("=")


def read_cursor(text: str) -> int:
    """The place that :func:`cursor` was given.

    Raises:
        ValueError: it made no such text.
    """
    try:
        (before,) = _CURSOR.unpack(base64.b64decode(text + "=", altchars=b"-_", validate=True))
    except (ValueError, struct.error):
        before = -1
    if before < 0 or cursor(before) != text:
        raise ValueError('expected the "next" of an earlier page')
    return int(before)


def find(store: Store, schema: TransactionSchema, name: str) -> Recorded | None:
    """One decision, by its id; where the schema has none, by its place in the order of arrival."""
    if schema.id is not None:
        found = store.page(Filter(transaction_id=name), None, 1).decisions
    elif name.isascii() and name.isdigit() and len(name) <= 18:
        found = store.page(Filter(), int(name) + 1, 1).decisions
        found = [recorded for recorded in found if recorded.decision.seq == int(name)]
    else:
        found = []
    return found[0] if found else None


def refuse(field: str, message: str) -> NoReturn:
    """Raise what names a query parameter at fault."""
    raise Refused("invalid-query", "the query is not as expected", [FieldProblem(field=field, message=message)])


def pairs(query: bytes) -> list[tuple[str, str]]:
    """The parameters of a query, in their order.

    Raises:
        Refused: 422, it cannot be read.
    """
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except (UnicodeDecodeError, ValueError):
        refuse("", "not percent-encoded UTF-8, or more than 50 parameters")


def read_moment(text: str) -> int:
    """A time, or so long ago: microseconds since 1970 UTC.

    Raises:
        ValueError: it is neither; says what was expected.
    """
    try:
        return moment(text)
    except ValueError:
        raise ValueError("expected a time, e.g. 2026-01-31T08:15:00Z (+ as %2B), or a duration, e.g. 7d") from None


def _one_of(text: str, *allowed: str) -> str:
    if text not in allowed:
        raise ValueError(f"expected one of {', '.join(allowed)}")
    return text


def _truth(text: str) -> bool:
    return _one_of(text, "true", "false") == "true"


def _share(text: str) -> float:
    if not _NUMBER.fullmatch(text) or not float(text) <= 1:
        raise ValueError("expected a number from 0 to 1")
    return float(text)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MOST):
        raise ValueError(f"expected a whole number from 1 to {MOST:,}")
    return int(text)


def _format(text: str) -> str:
    return _one_of(text, *FORMATS)


#: Each filter and what its value becomes; those of the schema's entities come on top.
_FILTERS: Mapping[str, Callable[[str], Any]] = {
    "since": read_moment,
    "until": read_moment,
    "decision": lambda text: _one_of(text, *DECISIONS),
    "is_anomaly": _truth,
    "min_score": _share,
    "transaction_id": str,
    "model_version": str,
    "caller": str,
    "label": lambda text: _one_of(text, *LABELS),
}
FILTERS = tuple(_FILTERS)
