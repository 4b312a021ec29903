"""Who did what in the console, in an SQL store: written in the transaction that does it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select, update

from app.store.desk import Event
from app.store.sql.tables import case_events


def add(
    connection: Connection,
    at: int,
    actor: str,
    action: str,
    case_id: int | None = None,
    *,
    subject: str | None = None,
    text: str | None = None,
    before: str | None = None,
) -> int:
    """Append an event; its place among them."""
    number = (connection.execute(select(func.max(case_events.c.id))).scalar() or 0) + 1
    values = {"at": at, "actor": actor, "action": action, "case_id": case_id}
    connection.execute(case_events.insert().values(id=number, **values, subject=subject, text=text, before=before))
    return number


def find(connection: Connection, number: int) -> Event | None:
    """One event."""
    row = connection.execute(select(case_events).where(case_events.c.id == number)).first()
    return None if row is None else Event(*row)


def settled(connection: Connection, number: int, by: int) -> None:
    """Say which event decided a proposal; what was proposed is kept where it counts, or no longer."""
    connection.execute(update(case_events).where(case_events.c.id == number).values(undone_by=by, before=None))


def undone(connection: Connection, number: int, by: int) -> None:
    """Say which event took another one back."""
    connection.execute(update(case_events).where(case_events.c.id == number).values(undone_by=by))


def of_cases(connection: Connection, cases: Sequence[int]) -> list[Event]:
    """All events of some cases, oldest first."""
    statement = select(case_events).where(case_events.c.case_id.in_(cases)).order_by(case_events.c.id)
    return [Event(*row) for row in connection.execute(statement)]


def page(
    connection: Connection, before: int | None, limit: int, actor: str | None = None, action: str | None = None
) -> list[Event]:
    """Events, newest first."""
    statement = select(case_events)
    if before is not None:
        statement = statement.where(case_events.c.id < before)
    if actor is not None:
        statement = statement.where(case_events.c.actor == actor)
    if action is not None:
        statement = statement.where(case_events.c.action == action)
    return [Event(*row) for row in connection.execute(statement.order_by(case_events.c.id.desc()).limit(limit))]


def latest(connection: Connection, action: str) -> dict[str, int]:
    """When each did something last, microseconds since 1970 UTC."""
    of = case_events.c
    statement = select(of.actor, func.max(of.at)).where(of.action == action).group_by(of.actor)
    return {row[0]: row[1] for row in connection.execute(statement)}


def undecided(connection: Connection) -> dict[str, int]:
    """How many proposals wait for a second person, by the action that proposed them."""
    of = case_events.c
    statement = select(of.action, func.count()).where(of.undone_by.is_(None), of.action.like("propose%"))
    return {row[0]: row[1] for row in connection.execute(statement.group_by(of.action))}


def proposed(connection: Connection, action: str) -> list[Event]:
    """What waits for a second person, oldest first; ``action``: that proposed it."""
    waiting = (case_events.c.action == action, case_events.c.undone_by.is_(None))
    return [Event(*row) for row in connection.execute(select(case_events).where(*waiting).order_by(case_events.c.id))]
