"""POST /v1/purge: what a running service is to erase, read from a body, and carried out between its transactions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from app.decisions.purge import Purge, Purged
from app.decisions.query import entity_filters, entity_key
from app.problems import Refused
from app.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from app.recording.ledger import Ledger
from app.refusals import FieldProblem
from app.requests.field_schema import NO_NUL, TIME
from app.requests.fields import field_type
from app.requests.strict_object import StrictObject
from models.behaviour.keys import EntityKey
from models.schema import EntityColumn, TransactionSchema
from models.times import moment

BEFORE = "before"
_LONGEST_ID, _MOST_SECONDS = 1_000, 60
T = TypeVar("T")


@dataclass(slots=True)
class PurgeReply:
    """What was erased."""

    decisions: Annotated[int, Field(description="Erased, with their labels")]
    folded: Annotated[
        int,
        Field(description="Decisions up to this place can no longer be recomputed: what came before them is erased"),
    ]
    scrubbed: Annotated[
        bool,
        Field(
            description="Nothing is left in the store's files; false while a reader keeps an older state open, or "
            "where Redis may not be told to rewrite its files"
        ),
    ]


def read(body: bytes, schema: TransactionSchema, pseudonyms: Pseudonyms = NO_PSEUDONYMS) -> int | EntityKey:
    """A time, or an entity's key.

    Args:
        pseudonyms: of the store.

    Raises:
        Refused: not JSON, or it does not name exactly one thing to erase.
    """
    entities = entity_filters(schema)
    fields: dict[str, Any] = {BEFORE: Annotated[Any, PlainValidator(_before)]}
    fields |= {name: field_type(EntityColumn(max_length=_LONGEST_ID)) for name in entities}
    row = StrictObject("invalid-purge", fields, optional=tuple(fields)).read(body)
    if len(row) != 1:
        raise _refusal("", f"name one of {', '.join(fields)}")
    ((name, value),) = row.items()
    if name != BEFORE:
        return entity_key(name, pseudonyms.stored(entities[name], value))
    if value > time.time_ns() // 1_000:
        raise _refusal(BEFORE, "in the future: what arrives meanwhile would be erased, too")
    return int(value)


def carry_out(
    what: int | EntityKey, ledger: Ledger, schema: TransactionSchema, loop: asyncio.AbstractEventLoop
) -> Purged:
    """Erase; in a worker thread, for it takes long.

    Args:
        loop: the ledger's callers'.

    Raises:
        StoreUnavailable: the store failed. The same again goes on.
        Refused: the ledger is at a standstill, or the service is being stopped. The same again goes on.
    """

    def run(work: Callable[[], T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(ledger.run(work), loop).result(_MOST_SECONDS)
        except TimeoutError:
            raise Refused("store-unavailable", "the ledger does not answer; send it again, it goes on") from None

    purge = Purge(ledger.recorder, schema, run)
    return purge.before(what) if isinstance(what, int) else purge.entity(what)


def json_schema(schema: TransactionSchema | None) -> dict[str, Any]:
    """The body as JSON Schema, for the OpenAPI page."""
    text = {"type": "string", "minLength": 1, "maxLength": _LONGEST_ID, "pattern": NO_NUL}
    properties: dict[str, Any] = {
        BEFORE: {**TIME, "description": "Erase what arrived before this time: ISO 8601, or so long ago, e.g. 400d"}
    }
    for name, column in (entity_filters(schema) if schema else {}).items():
        properties[name] = {**text, "description": f"Erase all of this {name}: its {column}"}
    return {
        "type": "object",
        "properties": properties,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }


def _before(value: Any) -> int:
    try:
        return moment(value if isinstance(value, str) else "", "iso8601")
    except ValueError as error:
        raise PydanticCustomError("value", "expected {time}, or a duration, e.g. 400d", {"time": str(error)}) from None


def _refusal(field: str, message: str) -> Refused:
    return Refused("invalid-purge", "nothing was erased", [FieldProblem(field=field, message=message)])
