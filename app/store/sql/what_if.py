"""The highest scores of the log with what is known of them: what another threshold would have alerted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, distinct, func, select

from app.store.sql.tables import decisions, labels
from models.forms.time_patterns import DAY

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


def ranked(connection: Connection, versions: Sequence[str], since: int, now: int) -> tuple[list[Ranked], float]:
    """The decisions of some versions since a time, the highest score first, and how many days all of them are of.

    Those that were sent after the fact arrived in less time than they were paid in: then it is the days paid on, less
    what the first and the last of them lack.
    """
    of_version = (decisions.c.model_version.in_(versions), decisions.c.arrived_at >= since)
    paid_on = func.count(distinct(decisions.c.time // DAY))
    ends = func.min(decisions.c.arrived_at), func.min(decisions.c.time), func.max(decisions.c.time)
    first, begin, end, days = connection.execute(select(*ends, paid_on).where(*of_version)).one()
    span = 1.0 if first is None else max(1.0, (now - first) / DAY, days - 1 + (end % DAY - begin % DAY) / DAY)
    top = select(decisions.c.seq, decisions.c.score, decisions.c.id_digest).where(*of_version)
    chosen = top.order_by(decisions.c.score.desc()).limit(MOST).subquery()
    known = select(chosen.c.seq, chosen.c.score, labels.c.label).outerjoin(
        labels, labels.c.id_digest == chosen.c.id_digest
    )
    found: dict[int, Ranked] = {}
    for seq, score, label in connection.execute(known.order_by(chosen.c.score.desc(), labels.c.seq)):
        found[seq] = Ranked(score, label)  # the last of several labels stays
    return list(found.values()), span
