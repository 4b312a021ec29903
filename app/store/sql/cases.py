"""Cases in an SQL store: opened with the alerts, in the transaction that records them; claimed and closed by people.

The queue is read by ``cases_queue`` in its order, from any place on, so that its last page costs what its first does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    LargeBinary,
    Text,
    and_,
    case,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from app.store.desk import Case, Counts, Place, State, Wanted
from app.store.packing import id_digest
from app.store.records import Decision, LabelEvent
from app.store.sql.rows import as_decision
from app.store.sql.tables import case_events, cases, decisions
from models.behaviour.keys import EntityKey

#: Cases of a state that are counted: beyond it "that many or more" says enough, and costs no more.
MOST_COUNTED = 1_000
#: Values in one list of a statement.
_MOST = 500
_DECISION = [column for column in decisions.c if column.name != "id_digest"]


def is_alert(decision: Decision) -> bool:
    """Whether somebody is to look at it."""
    return decision.decision in ("review", "decline")


def opened(dialect: Dialect) -> Executable:
    """The statement that takes an alert into its card's open case, or opens one; parameters: :func:`case_row`."""
    values = dict.fromkeys(("id", "entity", "key", "seq", "last", "hits", "score", "opened_at", "state"))
    insert = (postgresql.insert if dialect.name == "postgresql" else sqlite.insert)(cases).values(values)
    new, higher = insert.excluded, insert.excluded.score > cases.c.score
    wakes = and_(higher, cases.c.state == _literal("snoozed"))
    return insert.on_conflict_do_update(
        index_elements=["entity", "key"],
        index_where=cases.c.state != _literal("closed"),
        set_={
            "last": new["last"],
            "hits": cases.c.hits + _literal(1),
            "seq": case((higher, new.seq), else_=cases.c.seq),
            "score": case((higher, new.score), else_=cases.c.score),
            "state": case((wakes, new.state), else_=cases.c.state),
        },
    )


def case_row(decision: Decision) -> tuple[Any, ...]:
    """A case of this alert alone."""
    entity, key = decision.keys[0] if decision.keys else (None, None)
    seq = decision.seq
    return seq, entity, key, seq, seq, 1, decision.score, decision.arrived_at, "open"


def settled() -> Executable:
    """The statement that closes the case of a single alert that was labelled, by whatever way; parameters:
    :func:`settled_row`. A case of several alerts waits for somebody who looks at all of them."""
    bound = [literal(value, type_) for value, type_ in (("", Text), ("", Text), (0, BigInteger), (b"", LargeBinary))]
    alert = select(decisions.c.seq).where(decisions.c.id_digest == bound[3]).scalar_subquery()
    statement = update(cases).values(
        verdict=bound[0], decided_by=bound[1], decided_at=bound[2], state=_literal("closed"), holder=null()
    )
    return statement.where(cases.c.id == alert, cases.c.hits == _literal(1), cases.c.state != _literal("closed"))


def settled_row(label: LabelEvent) -> tuple[Any, ...]:
    """What is known, from whom and since when."""
    return label.label, label.caller or "the API", label.arrived_at, id_digest(label.transaction_id)


def find(connection: Connection, case_id: int) -> Case | None:
    """One case."""
    row = connection.execute(select(cases).where(cases.c.id == case_id)).first()
    return None if row is None else Case(*row)


def of_alert(connection: Connection, seq: int, key: EntityKey | None) -> Case | None:
    """The case that an alert belongs to."""
    held = cases.c.id == seq
    if key is not None:
        held = and_(cases.c.entity == key[0], cases.c.key == key[1], cases.c.id <= seq, cases.c.last >= seq)
    row = connection.execute(select(cases).where(held).order_by(cases.c.id.desc()).limit(1)).first()
    return None if row is None else Case(*row)


def of_entity(connection: Connection, key: EntityKey, limit: int) -> list[Case]:
    """The cases of a card, newest first."""
    statement = select(cases).where(cases.c.entity == key[0], cases.c.key == key[1])
    return [Case(*row) for row in connection.execute(statement.order_by(cases.c.id.desc()).limit(limit))]


def page(connection: Connection, wanted: Wanted, at: Place, limit: int) -> list[Case]:
    """Cases in the order of the queue: the highest score first, of equals the newest."""
    _by_index(connection)
    order = (cases.c.score, cases.c.id)
    statement = select(cases).where(*_conditions(wanted))
    if at.score is not None and at.id is not None:
        here = tuple_(*order)
        statement = statement.where(here > (at.score, at.id) if at.back else here < (at.score, at.id))
    statement = statement.order_by(*(column.asc() if at.back else column.desc() for column in order)).limit(limit)
    found = [Case(*row) for row in connection.execute(statement)]
    return found[::-1] if at.back else found


def first_free(connection: Connection, state: State, name: str, now: int) -> Case | None:
    """What somebody works on next: the highest they hold, or else the highest that nobody holds."""
    own = [one for one in held(connection, name, now) if one.state == state]
    return next(iter(own or page(connection, Wanted(state, "free", now), Place(), 1)), None)


def held(connection: Connection, name: str, now: int) -> list[Case]:
    """What somebody holds, the highest score first."""
    statement = select(cases).where(cases.c.holder == name, cases.c.held_until > now, cases.c.state != "closed")
    return [Case(*row) for row in connection.execute(statement.order_by(cases.c.score.desc()).limit(50))]


def counts(connection: Connection, name: str, now: int) -> Counts:
    """How many cases there are in each state, :data:`MOST_COUNTED` at most, and how many are held."""
    holders = select(cases.c.holder, func.count()).where(
        cases.c.holder.is_not(None), cases.c.held_until > now, cases.c.state != "closed"
    )
    by = {row[0]: row[1] for row in connection.execute(holders.group_by(cases.c.holder))}
    mine = by.pop(name, 0)
    of = partial(_count, connection)
    return Counts(of("open"), of("escalated"), of("snoozed"), mine, sum(by.values()))


def _count(connection: Connection, state: State) -> int:
    some = select(cases.c.id).where(cases.c.state == state).limit(MOST_COUNTED).subquery()
    return connection.execute(select(func.count()).select_from(some)).scalar_one()


def decided(connection: Connection, since: int) -> list[Case]:
    """The cases that were decided since a time, the latest 20,000."""
    statement = select(cases).where(cases.c.decided_at >= since).order_by(cases.c.decided_at.desc()).limit(20_000)
    return [Case(*row) for row in connection.execute(statement)]


def newer(connection: Connection, since: int) -> int:
    """Cases that were opened after a place in the log, as far as 100."""
    new = select(cases.c.id).where(cases.c.id > since, cases.c.state == "open").limit(100).subquery()
    return connection.execute(select(func.count()).select_from(new)).scalar_one()


def newest(connection: Connection) -> int:
    """The place of the last case that was opened; 0 without one."""
    return connection.execute(select(func.max(cases.c.id))).scalar() or 0


def hold(connection: Connection, case_id: int, name: str, now: int, until: int) -> bool:
    """Claim a case, or go on holding it. False where another holds it, or it is closed."""
    mine = or_(cases.c.holder.is_(None), cases.c.held_until <= now, cases.c.holder == name)
    statement = update(cases).where(cases.c.id == case_id, cases.c.state != "closed", mine)
    return connection.execute(statement.values(holder=name, held_until=until)).rowcount == 1


def put(connection: Connection, case_id: int, **values: Any) -> None:
    """Change a case."""
    connection.execute(update(cases).where(cases.c.id == case_id).values(values))


def current(connection: Connection, key: EntityKey | None) -> Case | None:
    """The case of a card that is not closed."""
    if key is None:
        return None
    statement = select(cases).where(cases.c.entity == key[0], cases.c.key == key[1], cases.c.state != "closed")
    row = connection.execute(statement).first()
    return None if row is None else Case(*row)


def due(connection: Connection, now: int) -> bool:
    """Whether the time of a snoozed case has come."""
    waiting = select(cases.c.id).where(cases.c.state == "snoozed", cases.c.until <= now).limit(1)
    return connection.execute(waiting).first() is not None


def wake(connection: Connection, now: int) -> None:
    """Open what was snoozed until now."""
    waiting = update(cases).where(cases.c.state == "snoozed", cases.c.until <= now)
    connection.execute(waiting.values(state="open", until=None))


def recorded(connection: Connection, seqs: Sequence[int]) -> dict[int, Decision]:
    """Decisions by their places in the log."""
    rows = connection.execute(select(*_DECISION).where(decisions.c.seq.in_(seqs)))
    return {row[0]: as_decision(tuple(row)) for row in rows}


def forget(connection: Connection, seqs: Sequence[int], entities: Sequence[EntityKey]) -> None:
    """Erase what people wrote about transactions that are gone, and the cases that have none left."""
    touched: set[int] = set()
    for start in range(0, len(seqs), _MOST):
        part = seqs[start : start + _MOST]
        found = select(cases.c.id, cases.c.last).where(
            or_(cases.c.id.in_(part), cases.c.seq.in_(part), cases.c.last.in_(part))
        )
        for case_id, last in connection.execute(found).all():
            touched.add(case_id)
            if last in part:
                connection.execute(cases.delete().where(cases.c.id == case_id))
            else:
                score = select(decisions.c.score).where(decisions.c.seq == last).scalar_subquery()
                put(connection, case_id, seq=last, score=score)
    for entity, key in entities:
        of = (cases.c.entity == entity, cases.c.key == key)
        touched.update(connection.execute(select(cases.c.id).where(*of)).scalars())
        connection.execute(cases.delete().where(*of))
    every = sorted(touched)
    for start in range(0, len(every), _MOST):
        of_case = case_events.c.case_id.in_(every[start : start + _MOST])
        connection.execute(update(case_events).where(of_case).values(text=None, before=None, subject=None))


def _by_index(connection: Connection) -> None:
    """Have PostgreSQL read the queue by its index, in this transaction: while it has no statistics of a table that has
    just grown, it takes the cases that pass a filter for few, and would gather and sort all of them for a page."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [cases.c.state == wanted.state]
    nobody = or_(cases.c.holder.is_(None), cases.c.held_until <= wanted.now)
    if wanted.holder == "free":
        conditions.append(nobody)
    elif wanted.holder == "held":
        conditions.append(~nobody)
    elif wanted.holder is not None:
        conditions += [cases.c.holder == wanted.holder, cases.c.held_until > wanted.now]
    if wanted.min_score is not None:
        conditions.append(cases.c.score >= wanted.min_score)
    if wanted.opened_before is not None:
        conditions.append(cases.c.opened_at < wanted.opened_before)
    return conditions


def _literal(value: str | int) -> Any:
    """Written into the statement, whose parameters are those of :func:`case_row` alone."""
    return literal_column(repr(value))
