"""Pages of decisions from an SQL store, newest first, by its indexes.

A page is chosen from ``decisions_listed``, an index that holds all that can be asked: to look through a million
decisions for one that is not there takes a fifth of a second. Where the entity, the id or the label is asked for, fewer
are looked at.
"""

from __future__ import annotations

from collections import defaultdict
from operator import attrgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, exists, func, select

from app.store.packing import id_digest
from app.store.query import Filter, Page, Recorded, Tally
from app.store.records import LabelEvent
from app.store.sql.rows import as_decision, as_label
from app.store.sql.statements import Statements
from app.store.sql.tables import decision_keys, decisions, labels
from models.forms.time_patterns import DAY


def page(connection: Connection, sql: Statements, wanted: Filter, before: int | None, limit: int) -> Page:
    """See :meth:`app.store.contract.Store.page`. First the places alone, from an index; then the decisions there."""
    statement = _places(wanted)
    place = statement.selected_columns[0]
    if before is not None:
        statement = statement.where(place < before)
    elif wanted.of_times_alone:
        statement = statement.where(place.between(*_stretch(connection, wanted)))
    seqs = list(connection.execute(statement.order_by(place.desc()).limit(limit)).scalars())
    found = sorted(map(as_decision, sql.by_seq.rows(connection, seqs)), key=attrgetter("seq"), reverse=True)
    ids = [decision.transaction_id for decision in found if decision.transaction_id is not None]
    known: dict[str, list[LabelEvent]] = defaultdict(list)
    events = map(as_label, sql.labels.rows(connection, [id_digest(name) for name in ids]))
    for event in sorted(events, key=attrgetter("seq")):
        known[event.transaction_id].append(event)
    return Page(
        [Recorded(decision, known.get(decision.transaction_id or "", ())) for decision in found],
        seqs[-1] if len(seqs) == limit else None,
    )


def tally(connection: Connection, version: str, after: int, last: int, since: int) -> Tally:
    """See :meth:`app.store.contract.Store.tally`. Nothing of a decision is read but what is counted.

    Args:
        last: the last place to count, nothing can come before it any more.
    """
    column = decisions.c
    # Division of whole numbers rounds towards zero; transactions from before 1970 are not kept.
    day = (column.time // DAY).label("day")
    alert = case((column.score >= column.threshold, 1), else_=0)
    statement = select(day, func.count(), func.sum(alert)).where(
        column.seq > after, column.seq <= last, column.model_version == version, column.arrived_at + 0 >= since
    )
    rows = connection.execute(statement.group_by("day")).all()
    return Tally([(int(one), int(count), int(alerts)) for one, count, alerts in rows], max(last, after))


def _places(wanted: Filter) -> Select[Any]:
    """The places of the decisions that are wanted, begun where fewest have to be looked at."""
    conditions = _conditions(wanted)
    labelled = decisions.c.id_digest == labels.c.id_digest
    if wanted.entities or wanted.transaction_id is not None:
        if wanted.label is not None:
            conditions.append(exists().where(labelled, *_latest(wanted.label)))
        if not wanted.entities:
            return select(decisions.c.seq).where(*conditions)
        (entity, key), *others = wanted.entities
        statement = select(decision_keys.c.seq).where(decision_keys.c.entity == entity, decision_keys.c.key == key)
        for entity, key in others:
            other = decision_keys.alias()
            same = other.c.entity == entity, other.c.key == key, other.c.seq == decision_keys.c.seq
            statement = statement.where(exists().where(*same))
        if conditions:
            statement = statement.join(decisions, decisions.c.seq == decision_keys.c.seq).where(*conditions)
        return statement
    if wanted.label is not None:
        statement = select(decisions.c.seq).select_from(labels).join(decisions, labelled)
        return statement.where(*_latest(wanted.label), *conditions)
    return select(decisions.c.seq).where(*conditions)


def _stretch(connection: Connection, wanted: Filter) -> tuple[int, int]:
    """The first and the last place of what arrived in the time that is wanted: only these are looked through."""
    inside = select(decisions.c.seq).where(*_arrived(wanted, decisions.c.arrived_at)).cte("inside")
    # PostgreSQL would else go through all places, from both ends.
    inside = inside.prefix_with("MATERIALIZED", dialect="postgresql")
    first, last = connection.execute(select(func.min(inside.c.seq), func.max(inside.c.seq))).one()
    return (0, -1) if first is None else (first, last)


def _arrived(wanted: Filter, arrived_at: ColumnElement[int]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        conditions.append(arrived_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(arrived_at < wanted.until)
    return conditions


def _conditions(wanted: Filter) -> list[ColumnElement[bool]]:
    column = decisions.c
    # Not by the index of arrival: all of a long time would be sorted for one page of it.
    conditions = _arrived(wanted, column.arrived_at + 0)
    if wanted.decision is not None:
        conditions.append(column.decision == wanted.decision)
    if wanted.is_anomaly is not None:
        above = column.score >= column.threshold
        conditions.append(above if wanted.is_anomaly else ~above)
    if wanted.min_score is not None:
        conditions.append(column.score >= wanted.min_score)
    if wanted.transaction_id is not None:
        conditions.append(column.id_digest == id_digest(wanted.transaction_id))
    if wanted.model_version is not None:
        conditions.append(column.model_version == wanted.model_version)
    if wanted.caller is not None:
        conditions.append(column.caller == wanted.caller)
    return conditions


def _latest(label: str) -> list[ColumnElement[bool]]:
    """Of the labels of a transaction, the last, if it is this one."""
    later = labels.alias("later")
    newer = exists().where(later.c.id_digest == labels.c.id_digest, later.c.seq > labels.c.seq)
    return [labels.c.label == label, ~newer]
