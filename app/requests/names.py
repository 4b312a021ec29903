"""The names in a JSON body: missing, unknown, there twice. Pydantic-core is left to check the values.

It could check the names too, but takes the last of two equal ones in silence, and copies the whole body into the
error of each missing or unknown one: a hostile megabyte would hold the event loop for a second.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection
from itertools import islice
from typing import Any, NoReturn

from app.problems import Refused, name_or_withheld

#: Unknown fields that are named to the caller.
_MOST_UNKNOWN = 20
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


class JsonObject(list[tuple[str, Any]]):
    """A JSON object as its pairs of name and value, so that a name that is there twice shows."""


def load_pairs(body: bytes) -> Any:
    """A body that pydantic-core takes for JSON, with each object as its pairs.

    Raises:
        Refused: it holds what that lets through as numbers and JSON does not know.
    """
    return json.loads(body, object_pairs_hook=JsonObject, parse_constant=_refuse_constant)


def odd_names(value: Any, known: Collection[str], optional: Collection[str] = ()) -> dict[str, str]:
    """What is wrong with the names of an object from :func:`load_pairs`, by name; nothing if it is no object."""
    if not isinstance(value, JsonObject):
        return {}
    counts = Counter(name for name, _ in value)
    missing = {name: "missing field" for name in known if name not in counts and name not in optional}
    twice = {name: "appears twice" for name in known if counts[name] > 1}
    unknown = islice((name for name in counts if name not in known), _MOST_UNKNOWN)
    return missing | twice | {name_or_withheld(name): "unknown field" for name in unknown}


def _refuse_constant(_name: str) -> NoReturn:
    raise Refused("invalid-json", "the body is not valid JSON: NaN and Infinity are not numbers there")


def refuse_nesting(body: bytes, most: int, kind: str = "invalid-transaction") -> None:
    """Refuse a body of more than ``most`` objects and arrays: a heap of tiny ones takes a second to make and to free.

    Raises:
        Refused: 422.
    """
    if _containers(body) > most and _containers(_STRING.sub(b"", body)) > most:
        raise Refused(kind, f"more than {most:,} objects and arrays in the body, whose fields hold none")


def _containers(body: bytes) -> int:
    return body.count(b"[") + body.count(b"{")
