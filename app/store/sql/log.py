"""Reads the log of an SQL store, a page at a time: no long transaction, bounded memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import groupby, islice
from operator import attrgetter, itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from app.store.packing import id_digest
from app.store.records import Decision, LabelEvent, LogColumns
from app.store.sql.failures import guard
from app.store.sql.ownership import Claim, require_place
from app.store.sql.rows import Row, as_decision, as_label
from app.store.sql.statements import Statements
from app.store.sql.transaction import last_seq
from models.behaviour.keys import EntityKey

T = TypeVar("T")
#: Rows per page: of events, of bare places in the order of arrival.
_EVENTS, _SEQS = 500, 2_000


class SqlLog:
    """The log of one database. What is written while it is read is not seen."""

    def __init__(self, engine: Engine, name: str, sql: Statements, claim: Claim | None) -> None:
        self._engine, self._name, self._sql, self._claim = engine, name, sql, claim

    def read(self, act: Callable[[Connection], T]) -> T:
        """What ``act`` returns of a short transaction of its own.

        Raises:
            StoreUnavailable: the database is gone or failing.
        """

        def run() -> T:
            require_place(self._claim, self._name)
            with self._engine.connect() as connection:
                return act(connection)

        return guard(self._name, run)

    def last_seq(self) -> int:
        """The last place that is taken; 0 for an empty log."""
        return self.read(lambda connection: last_seq(connection, self._sql))

    def find(self, transaction_id: str) -> Decision | None:
        """One decision."""
        digest = [id_digest(transaction_id)]
        rows = self.read(lambda connection: list(self._sql.known.rows(connection, digest)))
        return as_decision(rows[0]) if rows else None

    def events(self, after: int, keys: Sequence[EntityKey] | None) -> Iterator[Decision | LabelEvent]:
        """Decisions and labels, oldest first; of all entities or of some."""
        horizon = self.last_seq()
        decisions: Iterator[Decision]
        labels: Iterable[Row]
        if keys is None:
            decisions = map(as_decision, self._pages(self._sql.decision_page, (), after, horizon, _EVENTS))
            labels = self._pages(self._sql.label_page, (), after, horizon, _EVENTS)
        else:
            keys = list(dict.fromkeys(keys))
            decisions = self._decisions(
                _once(self._pages(self._sql.seq_page_of_key, key, after, horizon, _SEQS) for key in keys)
            )
            labels = _once(self._pages(self._sql.label_page_of_key, key, after, horizon, _EVENTS) for key in keys)
        both: tuple[Iterator[Decision | LabelEvent], ...] = (decisions, map(as_label, labels))
        yield from merge(*both, key=attrgetter("seq"))

    def columns(self, after: int, chunk: int) -> Iterator[LogColumns]:
        """Stretches of at most ``chunk`` decisions and as many labels."""
        horizon = self.last_seq()
        while after < horizon:
            decisions = self._page(self._sql.column_page, (after, horizon, chunk, 0))
            labels = self._page(self._sql.label_page, (after, horizon, chunk, 0))
            after = min([horizon, *(rows[-1][0] for rows in (decisions, labels) if len(rows) == chunk)])
            decisions = decisions[: bisect_right(decisions, after, key=itemgetter(0))]
            labels = labels[: bisect_right(labels, after, key=itemgetter(0))]
            seqs, ids, times, bodies = zip(*decisions, strict=True) if decisions else ((), (), (), ())
            yield LogColumns(seqs, ids, times, bodies, [as_label(row) for row in labels])

    def _decisions(self, seqs: Iterator[Row]) -> Iterator[Decision]:
        while wanted := [row[0] for row in islice(seqs, _EVENTS)]:
            yield from map(as_decision, sorted(self._rows_of(wanted), key=itemgetter(0)))

    def _rows_of(self, seqs: Sequence[int]) -> list[Row]:
        return self.read(lambda connection: list(self._sql.by_seq.rows(connection, seqs)))

    def _pages(self, sql: str, before: Row, after: int, horizon: int, size: int) -> Iterator[Row]:
        while True:
            rows = self._page(sql, (*before, after, horizon, size, 0))
            yield from rows
            if len(rows) < size:
                return
            after = rows[-1][0]

    def _page(self, sql: str, parameters: tuple[Any, ...]) -> Sequence[Row]:
        return self.read(lambda connection: connection.exec_driver_sql(sql, parameters).all())


def _once(sources: Iterable[Iterator[Row]]) -> Iterator[Row]:
    """Rows of several sorted sources in the order of their first column, none twice."""
    return (next(rows) for _, rows in groupby(merge(*sources, key=itemgetter(0)), key=itemgetter(0)))
