"""Payments found by id, card, amount and time; the pages of one payment and of all that one card or merchant did."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.responses import Response

from app.console.alert import Row, drawn_of, row_of
from app.console.facts import Explanations, Facts
from app.console.visit import Visit, go
from app.decisions.query import checked_text, entity_filters, entity_key
from app.generation import Generation
from app.problems import Refused
from app.rules.lists import NAMES
from app.store.contract import Store
from app.store.desk import Case
from app.store.query import Filter, Recorded
from app.store.sql import cases
from models.behaviour.keys import EntityKey

#: Rows that are shown; decisions that are looked through for an amount; at once; seconds for it.
ROWS, _LOOKED_AT, _PAGE, _SECONDS = 100, 20_000, 500, 2.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to.

    Attributes:
        whole: False where not all was looked at.
    """

    rows: list[Row]
    whole: bool


class Search:
    """Args: ``explanations``: of reasons."""

    def __init__(self, explanations: Explanations) -> None:
        self._explanations = explanations

    async def page(self, visit: Visit) -> Response:
        """What was asked for: straight to the only thing of that name, else a list."""
        text = visit.one("q").strip()
        trouble, found, where = "", None, None
        try:
            if text:
                where = await visit.threaded(partial(_place, visit, checked_text(text)))
            if where is not None:
                return go(where)
            if any(visit.one(name) for name in ("from", "to", "least", "most")):
                found = await visit.threaded(partial(_sought, visit))
        except ValueError as error:
            trouble = str(error)
        asked = {name: visit.one(name) for name in ("q", "from", "to", "least", "most")}
        status = 422 if trouble else 200
        return await visit.page("search.html", status, asked=asked, found=found, trouble=trouble, nothing=bool(text))

    async def payment(self, visit: Visit) -> Response:
        """One recorded payment."""
        seq = visit.path_number("seq")

        def read() -> tuple[Recorded, Case | None]:
            found = visit.ledger.recorder.store.page(Filter(), seq + 1, 1).decisions
            if not found or found[0].decision.seq != seq:
                raise Refused("not-found", "there is no such payment; it may have been erased")
            decision = found[0].decision
            key = decision.keys[0] if decision.keys else None
            alerted = cases.is_alert(decision)
            return found[0], visit.desk.read(partial(cases.of_alert, seq=seq, key=key)) if alerted else None

        recorded, case = await visit.threaded(read)
        why = await visit.threaded(partial(self._explanations.of, recorded.decision, visit.generation))
        facts = Facts.of(recorded.decision, visit.generation.schema)
        return await visit.page(
            "payment.html", recorded=recorded, decision=recorded.decision, facts=facts, why=why, case=case
        )

    async def of(self, visit: Visit) -> Response:
        """All that one card, merchant or other entity did, newest first."""
        generation = visit.generation
        columns = {column: name for name, column in entity_filters(generation.schema).items()}
        column = next((name for name in columns if visit.one(name)), None)
        if column is None:
            raise Refused("not-found", "there is no such page")
        key = key_of(generation, columns[column], column, visit.one(column))
        stored = generation.pseudonyms.stored(column, visit.one(column))

        def read() -> tuple[Found, list[Case]]:
            store = visit.ledger.recorder.store
            page = store.page(Filter(entities=(key,)), None, ROWS)
            rows = [row_of(one, None, generation.schema) for one in page.decisions]

            def of(connection: Connection) -> list[Case]:
                return cases.of_entity(connection, key, 20)

            return Found(rows, page.before is None), visit.desk.read(of)

        found, own = await visit.threaded(read)
        rulebook = visit.ledger.recorder.rulebook
        assert rulebook is not None  # of every recorder that serves
        lists = rulebook.lists
        newest = found.rows[0].recorded.decision if found.rows else None
        drawn = drawn_of(found.rows, newest.time, generation.schema, "latest") if newest else None
        labels = [row.label for row in found.rows]
        return await visit.page(
            "entity.html",
            column=column,
            currency=generation.schema.currency,
            value=visit.one(column),
            found=found,
            drawn=drawn,
            own=own,
            entries=[one for name in NAMES if (one := lists.entry(name, column, stored, visit.now)) is not None],
            told={label: labels.count(label) for label in ("fraud", "legitimate", "disputed") if label in labels},
            alerts=sum(row.alert for row in found.rows),
        )


def key_of(generation: Generation, entity: str, column: str, value: str) -> EntityKey:
    """The key of whom a value of a column names.

    Raises:
        Refused: the value cannot be one.
    """
    try:
        return entity_key(entity, generation.pseudonyms.stored(column, checked_text(value)))
    except ValueError as error:
        raise Refused("bad-request", f"{column}: {error}") from None


def _place(visit: Visit, text: str) -> str | None:
    """The page of what goes by this name."""
    store = visit.ledger.recorder.store
    found = store.page(Filter(transaction_id=text), None, 1).decisions
    if found:
        return f"/payments/{found[0].decision.seq}"
    for entity, column in entity_filters(visit.generation.schema).items():
        key = key_of(visit.generation, entity, column, text)
        if store.page(Filter(entities=(key,)), None, 1).decisions:
            return "/of?" + urlencode({column: text})
    return None


def _sought(visit: Visit) -> Found:
    least, most = (_amount(visit.one(name)) for name in ("least", "most"))
    since, until = _day(visit.one("from")), _day(visit.one("to"))
    end = until + timedelta(days=1) if until else None
    wanted = Filter(since=_micros(since), until=_micros(end))
    schema, rows = visit.generation.schema, list[Row]()
    looked_at, deadline = 0, time.monotonic() + _SECONDS
    for recorded in _decisions(visit.ledger.recorder.store, wanted):
        looked_at += 1
        if len(rows) == ROWS or looked_at > _LOOKED_AT or time.monotonic() > deadline:
            return Found(rows, whole=False)
        value = Facts.of(recorded.decision, schema).value if least is not None or most is not None else 0.0
        if value is None or (least is not None and value < least) or (most is not None and value > most):
            continue
        rows.append(row_of(recorded, None, schema))
    return Found(rows, whole=True)


def _decisions(store: Store, wanted: Filter) -> Iterator[Recorded]:
    before: int | None = None
    while True:
        page = store.page(wanted, before, _PAGE)
        yield from page.decisions
        before = page.before
        if before is None:
            return


def _amount(text: str) -> float | None:
    if not text:
        return None
    try:
        return float(text.replace(",", ""))
    except ValueError:
        raise ValueError("an amount is a number, such as 910 or 910.00") from None


def _day(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("a day is written as 2026-01-31") from None


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1e6)
