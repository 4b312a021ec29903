"""The lists: what stands on them, and changes, which take two people; what an entry would have hit is tried before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.responses import Response

from app.console.proposals import Proposals
from app.console.visit import Visit, status_of
from app.recording.ledger import Ledger
from app.refusals import Refusal
from app.rules.changing import change
from app.rules.entries import changes, columns_of, list_name
from app.rules.hits import Hits, hits_of
from app.rules.lists import NAMES, Lists
from app.store.desk import Event
from app.store.records import ListChange
from models.errors import CounterfoilError

#: Entries that are shown; days that a change is tried on, and decisions at most.
ROWS, DAYS, MOST = 200, 30, 10_000
_FIELDS = ("list", "column", "values", "until", "note", "do")
_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """A change that waits for a second person."""

    event: Event
    what: dict[str, Any]


class ListPages(Proposals):
    """The page: what stands on the lists, and the form to change them, filled in as the query says."""

    kind, path, right = "propose list", "/lists", "rules"

    async def test(self, visit: Visit) -> Response:
        """What was recorded of the values in the form."""
        try:
            wanted = _wanted(visit)
        except Refusal as refusal:
            return await self.shown(visit, status_of(refusal), self.told(refusal))
        store, since = visit.ledger.recorder.store, visit.now - DAYS * _DAY
        values = frozenset(one.value for one in wanted)
        hits = await visit.threaded(
            partial(hits_of, store, visit.generation.schema, wanted[0].column, values, since=since, most=MOST)
        )
        return await self.shown(visit, hits=hits)

    async def wanted(self, visit: Visit) -> tuple[str, dict[str, Any]]:
        """A change."""
        wanted = _wanted(visit)
        first, values = wanted[0], [one.value for one in wanted]
        what = {"list": first.name, "column": first.column, "values": values, "listed": first.listed}
        verb = "put on" if first.listed else "take off"
        return f"{verb} {first.name}: {first.column}", {**what, "until": visit.one("until")}

    async def carry_out(self, visit: Visit, proposal: Event) -> None:
        """Change the list, which counts from the next payment on."""
        by = f"{visit.person.name} for {proposal.actor}"
        wanted = _changes(visit, json.loads(proposal.before or "{}"), proposal.text or "", by)
        ledger = visit.ledger
        await ledger.run(partial(change, ledger.recorder.store, _lists(ledger), wanted))

    def told(self, error: CounterfoilError) -> str:
        """With the fields at fault; lines are counted from 1 as people do."""
        if not isinstance(error, Refusal) or not error.errors:
            return str(error)
        return "; ".join(f"{_field(one.field)}: {one.message}" for one in error.errors)

    async def shown(self, visit: Visit, status: int = 200, trouble: str = "", hits: Hits | None = None) -> Response:
        """The page; ``hits``: of the values in the form."""
        schema = visit.generation.schema
        of, text = visit.one("of"), visit.one("find").strip()

        def standing() -> list[ListChange]:
            return [
                one
                for one in _lists(visit.ledger).entries(visit.now)
                if of in ("", one.name) and (not text or text in one.value)
            ]

        entries = await visit.threaded(standing)
        proposals = [Waiting(one, json.loads(one.before or "{}")) for one in await self.waiting(visit)]
        return await visit.page(
            "lists.html",
            status,
            entries=entries[:ROWS],
            count=len(entries),
            names=NAMES,
            columns=columns_of(schema),
            asked={name: visit.one(name) for name in _FIELDS},
            of=of,
            find=text,
            proposals=proposals,
            trouble=trouble,
            hits=hits,
            days=DAYS,
            said=visit.one("said"),
        )


def _wanted(visit: Visit) -> list[ListChange]:
    """The change that the form means."""
    row = {"list": visit.one("list"), "column": visit.one("column"), "listed": visit.one("do") != "off"}
    values = [line.strip() for line in visit.one("values").splitlines() if line.strip()]
    return _changes(visit, {**row, "values": values, "until": visit.one("until").strip()}, visit.note(), None)


def _changes(visit: Visit, what: dict[str, Any], note: str, by: str | None) -> list[ListChange]:
    generation, listed = visit.generation, bool(what["listed"])
    return changes(
        generation.schema,
        generation.pseudonyms,
        list_name(what["list"]),
        what["column"],
        what["values"],
        listed=listed,
        until=(what["until"] or None) if listed else None,
        by=by,
        note=note,
    )


def _lists(ledger: Ledger) -> Lists:
    rulebook = ledger.recorder.rulebook
    assert rulebook is not None  # of every recorder that serves
    return rulebook.lists


def _field(name: str) -> str:
    head, _, number = name.partition(".")
    return f"value {int(number) + 1}" if head == "values" and number.isdigit() else head
