"""The routes of lists and rules."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from urllib.parse import parse_qsl

from anyio.to_thread import run_sync
from pydantic import Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from app.generation import Generation
from app.problems import Refused, name_or_withheld
from app.recording.ledger import Ledger
from app.refusals import FieldProblem
from app.requests.bodies import read_body, require_media_type
from app.requests.field_schema import NO_NUL
from app.requests.strict_object import StrictObject
from app.rules.changing import change
from app.rules.entries import LONGEST_NOTE, MOST, changes, columns_of, list_name, longest_value, stored_value
from app.rules.facts import Facts, Kind
from app.rules.lists import NAMES
from app.rules.rulebook import Rulebook
from app.serving import Serving
from app.settings import Settings
from app.store.records import ListChange, ListName
from models.pan import contains_card_number
from models.schema import TransactionSchema
from models.thresholds import Decision
from models.times import iso_text

_JSON = "application/json"
DEFAULT_LIMIT, MOST_ENTRIES = 100, 1_000
#: A time to come, or a duration from now.
UNTIL: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": r"^[1-9][0-9]{0,4}[smhd]$"},
        {"type": "string", "format": "date-time-to-come"},
    ],
    "examples": ["30d", "2027-01-31T00:00:00Z"],
}
_PARAMETERS = ("list", "column", "value", "limit", "cursor")


@dataclass(slots=True)
class Entry:
    """A value that stands on a list."""

    list: ListName
    column: str
    value: Annotated[str, Field(description="As it is kept: the pseudonym where the column has them")]
    since: Annotated[str, Field(description="ISO 8601, UTC")]
    until: Annotated[str | None, Field(description="ISO 8601, UTC; null for as long as nobody takes it off")]
    by: Annotated[str | None, Field(description="Who put it there; null where that is not known")]
    note: str


@dataclass(slots=True)
class ListPage:
    """What stands on the lists, last changed first."""

    entries: list[Entry]
    next: Annotated[str | None, Field(description="The cursor of the page after this one; null where there is none")]


@dataclass(slots=True)
class ListReply:
    """What was changed."""

    changed: Annotated[int, Field(description="Values; those that stood as wanted are none")]
    number: Annotated[int, Field(description="Of the last change of the lists, as decisions name it")]


class RuleRoutes:
    """What people decide beside the score, read and changed over HTTP."""

    def __init__(self, settings: Settings, serving: Serving) -> None:
        self._serving = serving
        self._most_bytes = settings.max_body_bytes
        own: dict[str, Any] = {"list": Any, "column": Any, "values": Any}
        self._add = StrictObject("invalid-list", {**own, "until": str, "note": str}, ("until", "note"))
        self._remove = StrictObject("invalid-list", own)

    async def add(self, request: Request) -> Response:
        """Put values of a column on a list: allow, block, watch or snooze. A value that stands there already gets the
        new end and note. Counts for what arrives from now on."""
        return await self._change(request, self._add, listed=True)

    async def remove(self, request: Request) -> Response:
        """Take values off a list."""
        return await self._change(request, self._remove, listed=False)

    async def _change(self, request: Request, reader: StrictObject, *, listed: bool) -> Response:
        generation, ledger = self._serving.now()
        require_media_type(request, _JSON)
        row = reader.read(await read_body(request, self._most_bytes))
        wanted = changes(
            generation.schema,
            generation.pseudonyms,
            list_name(row["list"]),
            row["column"],
            row["values"],
            listed=listed,
            until=row.get("until"),
            by=request.state.caller,
            note=row.get("note", ""),
        )
        lists = _rulebook(ledger).lists
        made = await ledger.run(partial(change, ledger.recorder.store, lists, wanted))
        return Response(to_json(ListReply(len(made), lists.number)), media_type=_JSON)

    async def rules(self) -> RulesReply:
        """The rules in force, what they may ask, and why those in the file are not, if so."""
        generation, ledger = self._serving.now()
        rulebook, source = _rulebook(ledger), ledger.recorder.rules
        assert source is not None
        document = None if rulebook.rules is None else rulebook.rules.document
        since = None if source.since is None else iso_text(source.since)
        rules = [] if document is None else [RuleReply(**rule.model_dump()) for rule in document.rules]
        version = None if document is None else document.version
        names = Facts(generation.schema).kinds
        return RulesReply(version, since, rules, rulebook.lists.number, names, source.trouble)

    async def entries(self, request: Request) -> Response:
        """What stands on the lists now, last changed first."""
        generation, ledger = self._serving.now()
        query = _query(request, generation)
        return Response(await run_sync(_page, _rulebook(ledger), query), media_type=_JSON)


@dataclass(slots=True)
class RuleReply:
    """A rule in force."""

    name: str
    when: Annotated[str, Field(description="In CEL")]
    outcome: Decision
    note: str


@dataclass(slots=True)
class RulesReply:
    """The rules in force."""

    version: Annotated[str | None, Field(description="Of the rules; null where there are none")]
    since: Annotated[str | None, Field(description="ISO 8601, UTC")]
    rules: list[RuleReply]
    lists: Annotated[int, Field(description="Number of the last change of the lists")]
    names: Annotated[
        dict[str, Kind],
        Field(description="What rules may ask: the variables and what each is; columns: the names of those listed"),
    ]
    trouble: Annotated[str, Field(description="Why what is in the file is not in force; empty where it is")]


@dataclass(frozen=True, slots=True)
class _Query:
    name: ListName | None
    column: str | None
    values: frozenset[tuple[str, str]] | None
    limit: int
    before: int | None


def _rulebook(ledger: Ledger) -> Rulebook:
    found = ledger.recorder.rulebook
    assert found is not None  # of every recorder that serves
    return found


def _query(request: Request, generation: Generation) -> _Query:
    try:
        pairs = parse_qsl(request.scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
    except (UnicodeDecodeError, ValueError):
        raise _bad("", "not percent-encoded UTF-8") from None
    given = dict(pairs)
    for name, _ in pairs:
        if name not in _PARAMETERS:
            raise _bad(name_or_withheld(name), f"unknown parameter; expected one of {', '.join(_PARAMETERS)}")
    if len(given) < len(pairs):
        raise _bad("", "a parameter appears twice")
    schema, column, value = generation.schema, given.get("column"), given.get("value")
    try:
        name = list_name(given["list"]) if "list" in given else None
        if column is not None and column not in columns_of(schema):
            raise _bad("column", f"expected one of {', '.join(columns_of(schema))}")
        values = None if value is None else _values(generation, column, value)
    except Refused as refused:
        raise Refused("invalid-query", "the query is not as expected", refused.errors) from None
    limit, cursor = given.get("limit", str(DEFAULT_LIMIT)), given.get("cursor")
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 4 and 1 <= int(limit) <= MOST_ENTRIES):
        raise _bad("limit", f"expected a whole number from 1 to {MOST_ENTRIES:,}")
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise _bad("cursor", 'expected the "next" of an earlier page')
    return _Query(name, column, values, int(limit), None if cursor is None else int(cursor))


def _values(generation: Generation, column: str | None, value: str) -> frozenset[tuple[str, str]]:
    """The columns that may have a value, with the value as each keeps it."""
    schema = generation.schema
    longest = longest_value(schema)
    if not 0 < len(value) <= longest or "\0" in value:
        raise _bad("value", f"expected 1 to {longest:,} characters, none of them NUL")
    found = set[tuple[str, str]]()
    for name in columns_of(schema) if column is None else (column,):
        with suppress(Refused):  # no value of this column, so it stands on no list
            found.add((name, stored_value(schema, generation.pseudonyms, name, value, "value")))
    if not found and contains_card_number(value):
        raise _bad("value", "looks like a card number; no card number is kept here")
    return frozenset(found)


def _page(rulebook: Rulebook, query: _Query) -> bytes:
    wanted = [
        one
        for one in rulebook.lists.entries(time.time_ns() // 1_000)
        if (query.before is None or one.number < query.before)
        and query.name in (None, one.name)
        and query.column in (None, one.column)
        and (query.values is None or (one.column, one.value) in query.values)
    ]
    shown = wanted[: query.limit]
    more = len(wanted) > len(shown)
    return to_json(ListPage([_entry(one) for one in shown], str(shown[-1].number) if more else None))


def _entry(one: ListChange) -> Entry:
    until = None if one.until is None else iso_text(one.until)
    return Entry(one.name, one.column, one.value, iso_text(one.at), until, one.by, one.note)


def _text(longest: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": longest, "pattern": NO_NUL}


def _bad(field: str, message: str) -> Refused:
    return Refused("invalid-query", "the query is not as expected", [FieldProblem(field=field, message=message)])


def describe(paths: dict[str, Any], schema: TransactionSchema | None) -> None:
    """Say of the routes in an OpenAPI document what the routes themselves do not.

    Args:
        schema: of the model that serves.
    """
    column = {"type": "string"} if schema is None else {"type": "string", "enum": list(columns_of(schema))}
    longest = 1 if schema is None else longest_value(schema)
    values = {"type": "array", "items": _text(longest), "minItems": 1, "maxItems": MOST}
    lists = {"type": "string", "enum": list(NAMES)}
    until = {**UNTIL, "description": "No longer on the list from then on: a time to come, or a duration from now"}
    note = {"type": "string", "maxLength": LONGEST_NOTE, "pattern": NO_NUL, "description": "Why"}

    def shape(which: dict[str, Any], more: dict[str, Any], *required: str) -> dict[str, Any]:
        own = {
            "list": which,
            "column": {**column, "description": "Of the transaction, with texts"},
            "values": {**values, "description": "As a transaction has them"},
        }
        always = [*own, *required]
        return {"type": "object", "properties": own | more, "required": always, "additionalProperties": False}

    snooze = {"type": "string", "const": "snooze"}
    others = {"type": "string", "enum": [name for name in NAMES if name != "snooze"]}
    more = {"until": until, "note": note}
    added = {"anyOf": [shape(others, more), shape(snooze, more, "until")]}
    for path, body in (("/v1/lists/add", added), ("/v1/lists/remove", shape(lists, {}))):
        paths[path]["post"]["requestBody"] = {"required": True, "content": {_JSON: {"schema": body}}}
        paths[path]["post"]["responses"]["409"] = {"description": "The column takes no values of this length"}
    limit = {"type": "integer", "minimum": 1, "maximum": MOST_ENTRIES, "default": DEFAULT_LIMIT}
    parameters = (
        ("list", "On this list", lists),
        ("column", "Of this column", column),
        ("value", "This value, of the column or of any", _text(longest)),
        ("limit", "Most entries in the page", limit),
        ("cursor", "The next of the page before", {"type": "string", "pattern": "^[0-9]{1,18}$"}),
    )
    listed = paths["/v1/lists"]["get"]
    listed["parameters"] = [
        {"name": name, "in": "query", "required": False, "description": told, "schema": shape}
        for name, told, shape in parameters
    ]
    listed["responses"]["422"] = {"description": "A parameter is not as expected, or looks like a card number"}
