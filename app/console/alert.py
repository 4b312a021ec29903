"""One alert on one screen: what was paid, why it was alerted, what else the card did, and the verdict."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection
from starlette.responses import Response

from app.console.facts import Explanations, Facts, Why
from app.console.queue import next_alert
from app.console.roles import require
from app.console.sketch import Mark, Sketch, sketch
from app.console.visit import Visit, go
from app.console.work import CLAIM_SECONDS, HEARTBEAT_SECONDS, UNDO_SECONDS, Wish, Work, alerts_of
from app.problems import Refused
from app.refusals import Refusal
from app.requests.feedback import LABELS
from app.store.contract import Store
from app.store.desk import Case, Event
from app.store.query import Filter, Recorded
from app.store.records import Decision
from app.store.sql import case_events, cases
from models.pan import contains_card_number
from models.schema import TransactionSchema

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
#: Days of the card that are shown, and payments at most.
DAYS, _MOST = 30, 200
#: What a snooze can last, in hours.
SNOOZES = {"1": "an hour", "4": "4 hours", "24": "a day", "72": "3 days"}


@dataclass(frozen=True, slots=True)
class Row:
    """A payment of the card as it is listed."""

    recorded: Recorded
    facts: Facts
    label: str | None
    here: bool
    alert: bool


@dataclass(frozen=True, slots=True)
class Whole:
    """All that the page shows of a case."""

    case: Case
    decision: Decision
    facts: Facts
    label: str | None
    why: list[Why]
    hits: list[Row]
    history: list[Row]
    more: bool
    drawn: Sketch
    events: list[Event]


class Alerts:
    """The pages of alerts.

    Args:
        explanations: of reasons.
        target: minutes that an alert may wait.
    """

    def __init__(self, explanations: Explanations, target: int) -> None:
        self._explanations, self._target = explanations, target

    async def page(self, visit: Visit) -> Response:
        """An alert."""
        return await self._shown(visit, visit.path_number("case"))

    async def take(self, visit: Visit) -> Response:
        """Claim an alert and open it; where that cannot be, open it and say why."""
        require(visit.person, "work")
        case_id = visit.path_number("case")
        await visit.work(lambda work: work.take(case_id))
        return go(f"/alerts/{case_id}")

    async def keep(self, visit: Visit) -> Response:
        """The heartbeat of an open page: go on holding the alert. A fragment that says whether that went well."""
        case_id = visit.path_number("case")
        held = visit.person.may("work") and await visit.work(lambda work: work.keep(case_id))
        return await visit.page("held.html", held=held, minutes=CLAIM_SECONDS // 60)

    async def release(self, visit: Visit) -> Response:
        """Give an alert back; a manager takes it from somebody else."""
        require(visit.person, "work")
        case_id, others = visit.path_number("case"), visit.person.may("release")
        await visit.work(lambda work: work.release(case_id, others=others))
        return go("?said=released")

    async def decide(self, visit: Visit) -> Response:
        """Record what somebody decided, and go on to the next alert."""
        case_id, action = visit.path_number("case"), visit.one("action")
        require(visit.person, "work")
        if action == "note":
            return await self._note(visit, case_id)
        if action not in (*LABELS, "snooze", "escalate"):
            raise Refused("bad-request", "choose what is to become of this alert")
        case = await visit.read(partial(cases.find, case_id=case_id))
        hours = visit.one("hours") or "24"
        if hours not in SNOOZES:
            raise Refused("bad-request", "choose how long this is to wait")
        until = visit.now + int(hours) * 3_600 * _SECOND if action == "snooze" else None

        def act(work: Work) -> int:
            known = work.ids_of(case_id)
            wanted = visit.form.get("hit")
            ids = [name for name in known if name in wanted] if wanted else known
            return work.decide(case_id, Wish(action, note, ids, until))

        note = ""
        try:
            note = visit.note()
            number = await visit.work(act)
        except Refusal as refusal:  # the page again, with the note that was typed
            if isinstance(refusal, Refused) and refusal.kind in ("not-found", "forbidden"):
                raise
            status = 422 if isinstance(refusal, Refused) and refusal.kind == "bad-request" else 409
            return await self._shown(visit, case_id, status, str(refusal))
        escalated = case is not None and case.state == "escalated"
        return await next_alert(visit, "escalated" if escalated else "open", done=str(number))

    async def undo(self, visit: Visit) -> Response:
        """Take back what somebody just decided."""
        require(visit.person, "work")
        numbers = [int(text) for text in visit.form.get("done", [])[:100] if text.isascii() and text.isdigit()]
        opened = [await visit.work(partial(Work.undo, number=number)) for number in numbers]
        if len(opened) == 1:
            return go(f"/alerts/{opened[0]}?said=undone")
        return go("?said=undone&holder=mine")

    async def _note(self, visit: Visit, case_id: int) -> Response:
        try:
            text = visit.note()
        except Refused as refused:
            return await self._shown(visit, case_id, 422, str(refused))
        if text:
            await visit.work(partial(Work.note, case_id=case_id, text=text))
        return go(f"/alerts/{case_id}?said=noted")

    async def _shown(self, visit: Visit, case_id: int, status: int = 200, trouble: str = "") -> Response:
        note = visit.one("note") if trouble else ""
        if contains_card_number(note):
            note = re.sub(r"\d", "#", note)  # the words are kept
        whole, undoable = await visit.threaded(partial(self._whole, visit, case_id))
        holder = whole.case.held_by(visit.now)
        return await visit.page(
            "alert.html",
            status,
            whole=whole,
            case=whole.case,
            holder=holder,
            mine=holder == visit.person.name and whole.case.state != "closed",
            decides=visit.person.may("work") and (whole.case.state != "escalated" or visit.person.may("escalated")),
            late=visit.now - whole.case.opened_at > self._target * 60 * _SECOND,
            target=self._target,
            trouble=trouble,
            note=note,
            undoable=undoable,
            snoozes=SNOOZES,
            heartbeat=HEARTBEAT_SECONDS,
            said=visit.one("said"),
            days=DAYS,
            currency=visit.generation.schema.currency,
        )

    def _whole(self, visit: Visit, case_id: int) -> tuple[Whole, Event | None]:
        schema, store = visit.generation.schema, visit.ledger.recorder.store
        done = visit.one("done")

        def read(connection: Connection) -> tuple[Case | None, list[Event], Event | None]:
            found = cases.find(connection, case_id)
            if found is None:
                return None, [], None
            related = [found]
            if found.entity_key is not None:
                related = [one for one in cases.of_entity(connection, found.entity_key, 20) if one.id <= found.id]
            undoable = case_events.find(connection, int(done)) if done.isascii() and done.isdigit() else None
            return found, case_events.of_cases(connection, [one.id for one in related]), undoable

        case, events, undoable = visit.desk.read(read)
        if case is None:
            raise Refused("not-found", "there is no such alert; it may have been erased")
        hits = alerts_of(store, case)
        top = next((one for one in hits if one.decision.seq == case.seq), hits[0] if hits else None)
        if top is None:
            raise Refused("not-found", "the payments of this alert were erased")
        history, more = _history(store, case, top, schema)
        if undoable is not None and not _may_undo(undoable, visit):
            undoable = None
        own = [row_of(one, case, schema) for one in hits]
        return (
            Whole(
                case,
                top.decision,
                Facts.of(top.decision, schema),
                _label(top),
                self._explanations.of(top.decision, visit.generation),
                own,
                history,
                more,
                drawn_of(history, top.decision.time, schema, "this alert"),
                events[::-1],
            ),
            undoable,
        )


def _may_undo(event: Event, visit: Visit) -> bool:
    recent = visit.now - event.at < UNDO_SECONDS * _SECOND
    return event.actor == visit.person.name and event.undone_by is None and event.before is not None and recent


def _history(store: Store, case: Case, top: Recorded, schema: TransactionSchema) -> tuple[list[Row], bool]:
    """What the card paid in the days before the alert and after, newest first; and whether there is more."""
    if case.entity_key is None:
        return [row_of(top, case, schema)], False
    page = store.page(Filter(entities=(case.entity_key,)), None, _MOST)
    early = top.decision.time - DAYS * _DAY if schema.timestamp is not None and not schema.elapsed else None
    rows = [one for one in page.decisions if early is None or one.decision.time >= early]
    if all(one.decision.seq != top.decision.seq for one in rows):
        rows.append(top)
    rows.sort(key=lambda one: (one.decision.time, one.decision.seq), reverse=True)
    return [row_of(one, case, schema) for one in rows], len(rows) == len(page.decisions) and page.before is not None


def row_of(recorded: Recorded, case: Case | None, schema: TransactionSchema) -> Row:
    """A payment in a list; ``case``: whose highest alert it may be."""
    decision = recorded.decision
    return Row(
        recorded,
        Facts.of(decision, schema),
        _label(recorded),
        case is not None and decision.seq == case.seq,
        cases.is_alert(decision),
    )


def _label(recorded: Recorded) -> str | None:
    return recorded.labels[-1].label if recorded.labels else None


def drawn_of(rows: list[Row], end: int, schema: TransactionSchema, caption: str) -> Sketch:
    """Payments of the days before a time, and after."""
    marks = [
        Mark(row.recorded.decision.time, row.facts.value, row.label, row.alert, row.here)
        for row in rows
        if schema.timestamp is not None
    ]
    return sketch(marks, end, DAYS * _DAY, caption)
