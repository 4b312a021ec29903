"""What people do to cases: claim, decide, put off, pass on, take back. Each is one piece of the ledger's work, so that
two people never get in between each other, and a label goes the way of ``POST /v1/feedback``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from app.console.roles import Person, require
from app.problems import Refused
from app.recording.recorder import Recorder
from app.requests.feedback import LABELS
from app.store.contract import Desk, Store
from app.store.desk import Case, State
from app.store.query import Filter, Recorded
from app.store.records import Label
from app.store.sql import case_events, cases

#: Seconds that a claim holds without a sign of life, and how often the page gives one.
CLAIM_SECONDS, HEARTBEAT_SECONDS = 600, 60
#: Seconds within which a decision can be taken back.
UNDO_SECONDS = 3_600
#: Alerts of one case that a verdict is for, the latest; and decisions looked through at once for them.
_MOST_ALERTS, _PAGE = 100, 200
#: What ends the work on a case, and what becomes of it.
_STATES: Mapping[str, State] = {**dict.fromkeys(LABELS, "closed"), "snooze": "snoozed", "escalate": "escalated"}
#: The label in place of none, once one was recorded: not settled, which counts as unknown.
_NOT_SETTLED: Label = "disputed"


class ClaimLost(Refused):
    """Somebody else holds the case, or the claim has run out; nothing was recorded."""

    def __init__(self, why: str) -> None:
        super().__init__("conflict", why)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to become of a case.

    Attributes:
        action: a label, ``snooze`` or ``escalate``.
        ids: of the transactions that the label is for.
        until: microseconds; of a snooze.
    """

    action: str
    note: str = ""
    ids: Sequence[str] = ()
    until: int | None = None


def alerts_of(store: Store, case: Case) -> list[Recorded]:
    """The alerts of a case, newest first. Any thread."""
    wanted = Filter(entities=() if case.entity_key is None else (case.entity_key,))
    before: int | None = case.last + 1
    found: list[Recorded] = []
    limit = 1 if case.entity_key is None else _PAGE
    while before is not None and before > case.id and len(found) < _MOST_ALERTS:
        page = store.page(wanted, before, limit)
        found += [one for one in page.decisions if one.decision.seq >= case.id and cases.is_alert(one.decision)]
        before = page.before
    return found[:_MOST_ALERTS]


class Work:
    """Belongs to the ledger's thread.

    Args:
        recorder: records labels.
        desk: has the cases.
        person: who does it.
        now: microseconds since 1970 UTC.
    """

    def __init__(self, recorder: Recorder, desk: Desk, person: Person, now: int) -> None:
        self._recorder, self._desk, self._person, self._name, self._now = recorder, desk, person, person.name, now
        self._until = now + CLAIM_SECONDS * 1_000_000

    def take_next(self, state: State) -> Case | None:
        """The case to work on next, claimed: one's own, or else the highest that nobody holds."""

        def act(connection: Connection) -> Case | None:
            if cases.due(connection, self._now):
                cases.wake(connection, self._now)
            found = cases.first_free(connection, state, self._name, self._now)
            if found is not None:
                cases.hold(connection, found.id, self._name, self._now, self._until)
            return found

        return self._desk.write(act)

    def take(self, case_id: int) -> bool:
        """Claim a case, or go on holding it. False where another holds it, or it is closed.

        Raises:
            Refused: it was escalated, and waits for somebody who may decide it.
        """
        self._may_decide(self._find(case_id))
        return self._desk.write(partial(cases.hold, case_id=case_id, name=self._name, now=self._now, until=self._until))

    def keep(self, case_id: int) -> bool:
        """Go on holding a case. False where it is held no longer."""
        case = self._find(case_id)
        return case.held_by(self._now) == self._name and self.take(case_id)

    def release(self, case_id: int, *, others: bool) -> None:
        """Give a case back; ``others``: one that somebody else holds, which is told."""

        def act(connection: Connection) -> None:
            holder = self._found(cases.find(connection, case_id)).held_by(self._now)
            if holder is None:
                return
            if holder != self._name and not others:
                raise ClaimLost(f"{holder} holds this alert")
            cases.put(connection, case_id, holder=None, held_until=None)
            if holder != self._name:
                case_events.add(connection, self._now, self._name, "release", case_id, subject=holder)

        self._desk.write(act)

    def decide(self, case_id: int, wish: Wish) -> int:
        """Do what is wished for to a case that one holds; the number of the event.

        Raises:
            ClaimLost: one does not hold it; nothing was recorded.
            Refused: it is decided already, or was escalated to others, or a label cannot be right.
        """
        case = self._find(case_id)
        self._may_decide(case)
        holder = case.held_by(self._now)
        if case.state == "closed":
            raise ClaimLost(f"{case.decided_by} has decided this alert: {case.verdict}")
        if holder != self._name:
            raise ClaimLost(f"{holder} holds this alert now" if holder else "your claim to this alert has run out")
        before: dict[str, str | None] = {}
        if wish.action in LABELS:
            for name in wish.ids:
                before[name] = self._label_of(name)
                self._label(name, wish.action)
        was = {"state": case.state, "until": case.until, "labels": before}

        def act(connection: Connection) -> int:
            closed = wish.action in LABELS
            cases.put(
                connection,
                case_id,
                state=_STATES[wish.action],
                until=wish.until,
                holder=None,
                held_until=None,
                **({"verdict": wish.action, "decided_by": self._name, "decided_at": self._now} if closed else {}),
            )
            return case_events.add(
                connection, self._now, self._name, wish.action, case_id, text=wish.note or None, before=json.dumps(was)
            )

        return self._desk.write(act)

    def ids_of(self, case_id: int) -> list[str]:
        """The ids of a case's alerts."""
        found = alerts_of(self._recorder.store, self._find(case_id))
        return [one.decision.transaction_id for one in found if one.decision.transaction_id is not None]

    def note(self, case_id: int, text: str) -> None:
        """Write a note to a case, held or not."""
        self._find(case_id)
        self._desk.write(
            partial(case_events.add, at=self._now, actor=self._name, action="note", case_id=case_id, text=text)
        )

    def undo(self, number: int) -> int:
        """Take a decision of one's own back: the case is open again and held, labels are as they were. Its number.

        Where there was no label before, the transaction is ``disputed`` now: not settled, which counts as unknown.

        Raises:
            Refused: it was another's, is long ago or undone, or the card has another open case.
        """
        event = self._desk.read(partial(case_events.find, number=number))
        if event is None or event.case_id is None or event.before is None or event.actor != self._name:
            raise Refused("not-found", "there is nothing of yours to undo")
        if event.undone_by is not None:
            raise Refused("conflict", "this was undone already")
        if self._now - event.at > UNDO_SECONDS * 1_000_000:
            raise Refused("conflict", "this is more than an hour ago: give the payment another label instead")
        case = self._find(event.case_id)
        if case.state != _STATES[event.action] or case.held_by(self._now) not in (None, self._name):
            raise Refused("conflict", "somebody has gone on with this alert since")
        if case.state == "closed" and self._desk.read(partial(cases.current, key=case.entity_key)) is not None:
            raise Refused("conflict", "the same card has a new alert: decide both there")
        was = json.loads(event.before)
        for name, label in was["labels"].items():
            if self._label_of(name) == event.action:  # else it came from elsewhere since
                self._label(name, label or _NOT_SETTLED)
        case_id = event.case_id

        def act(connection: Connection) -> int:
            cases.put(
                connection,
                case_id,
                state="open" if was["state"] == "snoozed" else was["state"],
                until=None,
                holder=self._name,
                held_until=self._until,
                verdict=None,
                decided_by=None,
                decided_at=None,
            )
            by = case_events.add(connection, self._now, self._name, "undo", case_id, text=event.action)
            case_events.undone(connection, number, by)
            return case_id

        return self._desk.write(act)

    def _may_decide(self, case: Case) -> None:
        if case.state == "escalated":
            require(self._person, "escalated")

    def _find(self, case_id: int) -> Case:
        return self._found(self._desk.read(partial(cases.find, case_id=case_id)))

    @staticmethod
    def _found(case: Case | None) -> Case:
        if case is None:
            raise Refused("not-found", "there is no such alert")
        return case

    def _label_of(self, transaction_id: str) -> str | None:
        found = self._recorder.store.page(Filter(transaction_id=transaction_id), None, 1).decisions
        return found[0].labels[-1].label if found and found[0].labels else None

    def _label(self, transaction_id: str, label: str) -> None:
        known: Label = next(one for one in LABELS if one == label)
        self._recorder.label(transaction_id, known, None, self._now, self._name)
