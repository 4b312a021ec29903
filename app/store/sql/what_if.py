"""The highest scores of the log with what is known of them: what another threshold would have alerted."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from app.store.sql.tables import decisions, labels

#: Decisions that are looked at, the highest scores first.
MOST = 5_000


@dataclass(frozen=True, slots=True)
class Ranked:
    """One decision.

    Attributes:
        label: the latest; None while nothing is known.
    """

    score: float
    label: str | None


def ranked(connection: Connection, version: str, since: int) -> tuple[list[Ranked], int | None]:
    """The decisions of a version since a time, the highest score first, and when the first of all of them arrived."""
    of_version = (decisions.c.model_version == version, decisions.c.arrived_at >= since)
    first = connection.execute(select(func.min(decisions.c.arrived_at)).where(*of_version)).scalar()
    top = select(decisions.c.seq, decisions.c.score, decisions.c.id_digest).where(*of_version)
    chosen = top.order_by(decisions.c.score.desc()).limit(MOST).subquery()
    known = select(chosen.c.seq, chosen.c.score, labels.c.label).outerjoin(
        labels, labels.c.id_digest == chosen.c.id_digest
    )
    found: dict[int, Ranked] = {}
    for seq, score, label in connection.execute(known.order_by(chosen.c.score.desc(), labels.c.seq)):
        found[seq] = Ranked(score, label)  # the last of several labels stays
    return list(found.values()), first
