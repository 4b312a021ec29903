"""Nested objects as the fields that a table of the same objects has, ``card.country`` for one."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from app.requests.names import JsonObject, load_pairs

_DEEPEST = 8  # as models.tables.json_rows


def nested_in(fields: Collection[str]) -> int:
    """How many objects a transaction may hold so that these can be its fields; 0 where none is of a nested one."""
    return len({field[:place] for field in fields for place, sign in enumerate(field) if sign == "."})


def flat_one(body: bytes) -> bytes:
    """A transaction's body without nested objects. What is no object stays as it is, and is refused later.

    Raises:
        Refused: it holds what is no number in JSON.
    """
    return body if _is_broken(body) else _text(load_pairs(body)).encode()


def flat_many(body: bytes) -> bytes:
    """:func:`flat_one` of each of the transactions in a batch."""
    if _is_broken(body):
        return body
    outer = load_pairs(body)
    if not isinstance(outer, JsonObject):
        return body
    parts = []
    for name, value in outer:
        many = isinstance(value, list) and not isinstance(value, JsonObject)
        told = f"[{','.join(map(_text, value))}]" if many else _text(value)
        parts.append(f"{json.dumps(name)}:{told}")
    return f"{{{','.join(parts)}}}".encode()


def _is_broken(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:  # told by what checks the body
        return True
    return False


def _text(value: Any) -> str:
    """JSON of a value; of an object its fields one after the other, names that are there twice among them."""
    if not isinstance(value, JsonObject):
        return json.dumps(_plain(value))
    return "{" + ",".join(f"{json.dumps(name)}:{json.dumps(_plain(cell))}" for name, cell in _fields(value)) + "}"


def _fields(found: JsonObject, before: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    for name, value in found:
        if isinstance(value, JsonObject) and value and depth < _DEEPEST:
            yield from _fields(value, f"{before}{name}.", depth + 1)
        else:
            yield before + name, value


def _plain(value: Any) -> Any:
    if isinstance(value, JsonObject):
        return {name: _plain(cell) for name, cell in value}
    return [_plain(cell) for cell in value] if isinstance(value, list) else value
