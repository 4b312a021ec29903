"""The queue: open alerts, the highest score first, and the ways into them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.responses import Response

from app.console.facts import Facts, top_reason
from app.console.roles import require
from app.console.visit import Visit, go, whole
from app.console.work import Wish, Work
from app.problems import Refused
from app.refusals import Refusal
from app.requests.feedback import LABELS
from app.store.desk import Case, Counts, Place, State, Wanted
from app.store.records import Decision
from app.store.sql import cases, saved_filters

ROWS = 50
_MINUTE = 60_000_000
_FILTERS = ("state", "holder", "late", "min")
_HOLDERS = ("", "mine", "free", "held")
_STATES: tuple[State, ...] = ("open", "escalated", "snoozed")
_PLACE = re.compile(r"([01]?\.[0-9]{1,20}|[01](?:\.[0-9]{1,20})?(?:e-[0-9]{1,3})?)-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the queue."""

    case: Case
    holder: str | None
    facts: Facts | None
    reason: str
    decision: str
    late: bool


class Queue:
    """Args: ``target``: minutes that an alert may wait."""

    def __init__(self, target: int) -> None:
        self.target = target

    async def page(self, visit: Visit) -> Response:
        """A page of the queue."""
        return await self.shown(visit)

    async def shown(
        self, visit: Visit, failed: dict[int, str] | None = None, done: Sequence[int] = (), status: int = 200
    ) -> Response:
        """The same, after a bulk verdict.

        Args:
            failed: why the verdict was not recorded, by case; these rows stay ticked.
            done: events that can be undone.
        """
        wanted, query = self._wanted(visit)
        last = visit.one("last") == "1"
        at = Place(-1.0, -1, back=True) if last else _place(visit)

        def read(connection: Connection) -> tuple[list[Case], dict[int, Decision], Counts, int, dict[str, str]]:
            found = cases.page(connection, wanted, at, ROWS + 1)
            if failed and status != 200:
                known = {case.id for case in found}
                kept = [cases.find(connection, case_id) for case_id in failed if case_id not in known]
                found = [*(case for case in kept if case is not None), *found]
            decisions = cases.recorded(connection, [case.seq for case in found])
            counts = cases.counts(connection, visit.person.name, wanted.now)
            saved = saved_filters.of(connection, visit.person.name)
            return found, decisions, counts, cases.newest(connection), saved

        if await visit.read(partial(cases.due, now=visit.now)):
            await visit.write(partial(cases.wake, now=visit.now))
        found, decisions, counts, newest, saved = await visit.read(read)
        more = len(found) > ROWS
        shown = (found[-ROWS:] if at.back else found[:ROWS]) if not failed else found
        lines = await visit.threaded(lambda: [self._line(visit, case, decisions.get(case.seq)) for case in shown])
        first, end = (shown[0], shown[-1]) if shown else (None, None)
        before = first if (more if at.back else at.score is not None) else None
        after = end if (not last if at.back else more) else None
        return await visit.page(
            "queue.html",
            status,
            lines=lines,
            counts=counts,
            newest=newest,
            target=self.target,
            filters={name: visit.one(name) for name in _FILTERS},
            saved=saved,
            query=_link(query),
            state=wanted.state,
            before=None if before is None else _link(query, before=_at(before)),
            after=None if after is None else _link(query, after=_at(after)),
            end=_link(query, last="1"),
            failed=failed or {},
            done=list(done) or _events(visit),
            labels=LABELS,
            said=visit.one("said"),
        )

    async def news(self, visit: Visit) -> Response:
        """How many alerts are new since a page was made: a fragment for scripts. The table never moves by itself."""
        count = await visit.read(partial(cases.newer, since=whole(visit.one("since") or "0")))
        return await visit.page("news.html", count=count, refresh=self.query_of(visit))

    async def take_next(self, visit: Visit) -> Response:
        """On to the alert to work on next."""
        return await next_alert(visit, _state(visit))

    async def bulk(self, visit: Visit) -> Response:
        """One verdict for all alerts that were ticked; those that fail stay ticked and say why."""
        require(visit.person, "work")
        label, note, query = visit.one("verdict"), visit.note(), self._wanted(visit)[1]
        if label not in LABELS:
            raise Refused("bad-request", "choose a verdict: fraud, legitimate or disputed")
        ticked = [whole(text) for text in visit.form.get("case", [])][: 2 * ROWS]
        failed: dict[int, str] = {}
        done: list[int] = []
        for case_id in ticked:
            try:
                done.append(await visit.work(partial(_decide_free, case_id=case_id, label=label, note=note)))
            except Refusal as refusal:
                failed[case_id] = str(refusal)
        if not ticked:
            return go(_link(query, said="nothing-ticked"))
        if failed:
            return await self.shown(visit, failed, done, 409)
        return go("?" + urlencode([*query.items(), *(("done", number) for number in done)]))

    def query_of(self, visit: Visit) -> str:
        """The query of the filter in a form.

        Raises:
            Refused: there is no such filter.
        """
        return _link(self._wanted(visit)[1])

    def _wanted(self, visit: Visit) -> tuple[Wanted, dict[str, str]]:
        holder, smallest = visit.one("holder"), visit.one("min")
        if holder not in _HOLDERS:
            raise Refused("not-found", "there is no such filter")
        late = visit.one("late") == "1"
        query = {name: visit.one(name) for name in _FILTERS if visit.one(name)}
        wanted = Wanted(
            state=_state(visit),
            holder=visit.person.name if holder == "mine" else holder or None,
            now=visit.now,
            min_score=_share(smallest) if smallest else None,
            opened_before=visit.now - self.target * _MINUTE if late else None,
        )
        return wanted, query

    def _line(self, visit: Visit, case: Case, decision: Decision | None) -> Line:
        late = visit.now - case.opened_at > self.target * _MINUTE
        holder = case.held_by(visit.now)
        if decision is None:  # erased in this very moment
            return Line(case, holder, None, "", "", late)
        facts = Facts.of(decision, visit.generation.schema)
        return Line(case, holder, facts, top_reason(decision), decision.decision, late)


async def next_alert(visit: Visit, state: State = "open", **more: Any) -> Response:
    """On to the next alert, claimed; back to the queue where there is none, which says why."""
    require(visit.person, "escalated" if state == "escalated" else "work")
    case = await visit.work(lambda work: work.take_next(state))
    query = {name: value for name, value in more.items() if value}
    if case is None:
        return go("?" + urlencode({**query, "said": "none-free", **({"state": state} if state != "open" else {})}))
    return go(f"/alerts/{case.id}" + (f"?{urlencode(query)}" if query else ""))


def _decide_free(work: Work, case_id: int, label: str, note: str) -> int:
    work.take(case_id)  # where that fails, so does the next
    return work.decide(case_id, Wish(label, note, work.ids_of(case_id)))


def _state(visit: Visit) -> State:
    text = visit.one("state") or "open"
    state = next((one for one in _STATES if one == text), None)
    if state is None:
        raise Refused("not-found", "there is no such filter")
    return state


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise Refused("bad-request", "the lowest score is a number from 0 to 1")
    return value


def _at(case: Case) -> str:
    return f"{case.score!r}-{case.id}"


def _place(visit: Visit) -> Place:
    for name in ("after", "before"):
        text = visit.one(name)
        if text:
            found = _PLACE.fullmatch(text)
            if found is None:
                raise Refused("not-found", "there is no such page")
            return Place(float(found[1]), int(found[2]), back=name == "before")
    return Place()


def _link(query: dict[str, str], **more: str) -> str:
    whole_query = urlencode({**query, **more})
    return f"?{whole_query}" if whole_query else "?"


def _events(visit: Visit) -> list[int]:
    return [int(text) for text in visit.form.get("done", [])[: 2 * ROWS] if text.isascii() and text.isdigit()]
