"""Rows of JSON: an object a line, or one array of objects. Nested objects become columns such as ``card.country``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import polars as pl
from pydantic_core import from_json, to_json

from models.csv_stream import Chunk
from models.errors import InvalidInput
from models.rows import RowError

_ROWS = 20_000
_MOST_LINE, _MOST_ARRAY = 16 << 20, 1 << 30
_DEEPEST = 8
_NO_OBJECT = "not a JSON object; expected one on each line"


def json_lines(pieces: Iterable[bytes], source: str) -> Iterator[tuple[int, dict[str, str | None] | None]]:
    """The objects with the lines they stand on; None for a line that is no object. Blank lines are none.

    Raises:
        InvalidInput: a line of more than 16 MiB.
    """
    rest, number = b"", 0
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            number += 1
            if line.strip():
                yield number, _object(line)
        if len(rest) > _MOST_LINE:
            raise InvalidInput(
                f"{source}: line {number + 1}: longer than {_MOST_LINE >> 20} MiB; is it one object a line?"
            )
    if rest.strip():
        yield number + 1, _object(rest)


def json_array(pieces: Iterable[bytes], source: str) -> Iterator[tuple[int, dict[str, str | None] | None]]:
    """The objects of an array, alone or as ``{"transactions": [...]}``, with their places. It is held in memory.

    Raises:
        InvalidInput: no JSON, no array of objects, or more than 1 GiB.
    """
    whole = bytearray()
    for piece in pieces:
        whole += piece
        if len(whole) > _MOST_ARRAY:
            raise InvalidInput(f"{source}: an array of more than 1 GiB; write one object a line (.jsonl)")
    try:
        found = from_json(bytes(whole).removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        raise InvalidInput(f"{source}: not valid JSON; one object a line belongs into a .jsonl") from None
    if isinstance(found, dict) and len(found) == 1:
        (found,) = found.values()
    if not isinstance(found, list):
        raise InvalidInput(f'{source}: expected an array of objects, or {{"transactions": [...]}}')
    for place, value in enumerate(found, 1):
        yield place, _flat(value) if isinstance(value, dict) else None


def names_of(rows: Iterable[tuple[int, dict[str, str | None] | None]], source: str) -> list[str]:
    """Every field that an object has, in order of first mention.

    Raises:
        InvalidInput: there is none.
    """
    names: dict[str, None] = {}
    for _, row in rows:
        if row is not None:
            names.update(dict.fromkeys(row))
    if not names:
        raise InvalidInput(f"{source}: holds no JSON object; expected one for each transaction")
    return list(names)


def chunks_of(rows: Iterable[tuple[int, dict[str, str | None] | None]], names: list[str]) -> Iterator[Chunk]:
    """The objects as text cells, null where one lacks a field."""
    good: list[dict[str, str | None]] = []
    lines: list[int] = []
    broken: list[RowError] = []
    for line, row in rows:
        if row is None:
            broken.append(RowError(line, "", _NO_OBJECT))
        else:
            good.append(row)
            lines.append(line)
        if len(good) + len(broken) >= _ROWS:
            yield _chunk(good, lines, broken, names)
            good, lines, broken = [], [], []
    if good or broken:
        yield _chunk(good, lines, broken, names)


def _chunk(rows: list[dict[str, str | None]], lines: list[int], broken: list[RowError], names: list[str]) -> Chunk:
    columns = {name: pl.Series([row.get(name) for row in rows], dtype=pl.String) for name in names}
    return Chunk(pl.DataFrame(columns), np.array(lines, np.int64), tuple(broken))


def _object(line: bytes) -> dict[str, str | None] | None:
    try:
        found = from_json(line.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return None
    return _flat(found) if isinstance(found, dict) else None


def _flat(found: dict[str, Any], before: str = "", depth: int = 1) -> dict[str, str | None]:
    flat: dict[str, str | None] = {}
    for name, value in found.items():
        if isinstance(value, dict) and value and depth < _DEEPEST:
            flat |= _flat(value, f"{before}{name}.", depth + 1)
        else:
            flat[before + name] = _text(value)
    return flat


def _text(value: Any) -> str | None:
    """A value as a cell of CSV."""
    match value:
        case None | "":
            return None
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int() | float():
            return repr(value)
        case _:
            return to_json(value).decode()
