"""Verdicts that did not last: taken back, or told otherwise by a later label."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, exists, func, select

from app.store.sql.tables import case_events, cases, decisions, labels


def undone(connection: Connection, since: int, actions: Sequence[str]) -> int:
    """Verdicts given since a time that somebody took back."""
    taken_back = case_events.c.action.in_(actions) & case_events.c.undone_by.is_not(None)
    statement = select(func.count()).where(case_events.c.at >= since, taken_back)
    return connection.execute(statement).scalar_one()


def contradicted(connection: Connection, since: int) -> int:
    """Cases decided since a time whose highest alert has another label now than the verdict."""
    later = labels.alias("later")
    newest = ~exists().where(later.c.id_digest == labels.c.id_digest, later.c.seq > labels.c.seq)
    joined = cases.join(decisions, decisions.c.seq == cases.c.seq)
    joined = joined.join(labels, labels.c.id_digest == decisions.c.id_digest)
    other = labels.c.label != cases.c.verdict
    statement = select(func.count()).select_from(joined).where(cases.c.decided_at >= since, other, newest)
    return connection.execute(statement.where(cases.c.state == "closed")).scalar_one()
