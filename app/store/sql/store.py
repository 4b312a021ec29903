"""The store on SQLite (embedded) or PostgreSQL: one process owns it, others may read. As long as the contract is.

:mod:`app.store.sql.shared` lets several write.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import islice

from sqlalchemy import Connection, Engine

from app.store.contract import Desk
from app.store.errors import BegunMeanwhile, StoreUnavailable
from app.store.query import Filter, Page, Tally
from app.store.records import (
    Activation,
    Decision,
    KeptRules,
    LabelEvent,
    ListChange,
    LogColumns,
    Name,
    Origin,
    SavedState,
    View,
    Writes,
)
from app.store.sql import activations, migrations
from app.store.sql.advisory import unfinished
from app.store.sql.engines import version_of
from app.store.sql.log import SqlLog
from app.store.sql.ownership import Claim, require_place
from app.store.sql.purge import compact, erase, scrub
from app.store.sql.query import page, tally
from app.store.sql.ruling import change, changes_after, keep, kept
from app.store.sql.size import size
from app.store.sql.statements import Statements
from app.store.sql.tables import base_states, meta, states
from app.store.sql.transaction import (
    COMPACTED,
    ORIGIN,
    SHARED,
    WATERMARK,
    last_seq,
    of_entities,
    origin_of,
    prove,
    require_built,
    view,
    write,
)
from app.store.sql.writer import T, Writer
from models.behaviour.keys import EntityKey
from models.errors import InvalidInput

_BASE_ROWS = 10_000
#: Seconds for transactions of other processes that were under way to be over, and between two looks at them.
_OTHERS, _LOOK = 5.0, 0.002
#: No database's version.
_UNKNOWN = -1
#: Seconds for each statement that requests wait for.
ANSWERING = 10.0


@dataclass(frozen=True, slots=True)
class _Last:
    """What the last transaction left: it need not be read again, as long as nobody else writes.

    Attributes:
        version: of the database, for the connection that wrote: another number, and this may no longer be so.
        next_seq: the next free place in the order of arrival.
        spec: of the states.
    """

    version: int
    next_seq: int
    spec: str | None


class SqlStore:
    """See :class:`app.store.contract.Store`.

    Args:
        engine: from :mod:`app.store.sql.engines`.
        name: for messages.
        claim: of this process, released on close. None to read beside the owner: nothing is ever written, and
            :meth:`transact` refuses what ``work`` returns unless it is empty.

    Raises:
        StoreInUse: another process owns it.
        StoreUnavailable: it cannot be reached.
        InvalidInput: it is of another version of Counterfoil.
    """

    shared = False
    risks: Sequence[str] = ()

    def __init__(self, engine: Engine, name: str, claim: Claim | None) -> None:
        self._engine, self._name, self._claim = engine, name, claim
        self._sql = Statements(engine.dialect)
        self._log = SqlLog(engine, name, self._sql, claim)
        self._writer = None if claim is None else Writer(engine, name, claim, self._connected)
        self._last = _Last(0, 1, None)
        try:
            if self._writer is None:
                self._log.read(lambda connection: migrations.check(connection, name))
            else:
                self._writer.connect()
        except BaseException:
            self.close()
            raise

    def _connected(self, connection: Connection) -> None:
        """After a lost connection too: another process may have owned the store in between."""
        with connection.begin():
            migrations.upgrade(connection, self._name)
            connection.execute(meta.delete().where(meta.c.name == SHARED))  # not all states are saved from now on
            self._last = self._look(connection)

    def _alone(self, connection: Connection) -> None:
        """Have nobody else write until the transaction is over. Nobody else does."""

    def _look(self, connection: Connection) -> _Last:
        version = version_of(connection)
        origin = self._origin_in(connection)
        return _Last(version, last_seq(connection, self._sql) + 1, None if origin is None else origin.spec)

    def _origin_in(self, connection: Connection) -> Origin | None:
        return origin_of(connection.exec_driver_sql(self._sql.get_meta, (ORIGIN,)).scalar())

    def transact(
        self,
        names: Sequence[Name],
        keys: Sequence[EntityKey],
        events: int,
        work: Callable[[View], Writes],
        labelled: Sequence[str] = (),
    ) -> None:
        """See the contract. ``events`` needs no reserving: nobody else writes. A program that does so all the same, to
        an SQLite file, is noticed, and so are tables of PostgreSQL that were made anew."""
        if self._writer is None:
            if work(self._log.read(lambda connection: self._view(connection, names, keys, labelled))) != Writes():
                raise self._refusal()
            return
        called = False
        written: list[int] = []

        def act(connection: Connection) -> None:
            nonlocal called
            if (
                version_of(connection) != self._last.version
            ):  # PostgreSQL: shows a dead connection before work is called
                self._last = self._look(connection)
            seen = view(connection, self._sql, names, keys, labelled, self._last.next_seq, self._last.spec)
            called = True
            try:
                writes = work(seen)
            except StoreUnavailable:  # it is not what it was; what it is by then, the next transaction looks up
                self._last = replace(self._last, version=_UNKNOWN)
                raise
            written.extend(decision.seq for decision in writes.decisions)
            written.extend(label.seq for label in writes.labels)
            write(connection, self._sql, writes)

        def landed(connection: Connection) -> bool:
            return bool(written) and last_seq(connection, self._sql) >= max(written)

        self._writer.run(act, lambda: not called, landed, ANSWERING)
        self._last = replace(self._last, next_seq=max([self._last.next_seq, *(seq + 1 for seq in written)]))

    def prove(self) -> None:
        """See the contract."""
        self._write(lambda connection: prove(connection, self._sql, self._last.next_seq))

    def _view(
        self, connection: Connection, names: Sequence[Name], keys: Sequence[EntityKey], labelled: Sequence[str]
    ) -> View:
        """For a reader, who knows nothing of the transactions before."""
        require_built(self._origin_in(connection), self._name)
        last = self._look(connection)
        return view(connection, self._sql, names, keys, labelled, last.next_seq, last.spec)

    def origin(self) -> Origin | None:
        """See the contract."""
        return origin_of(self._meta(ORIGIN))

    def begin(self, origin: Origin, base: Iterable[tuple[EntityKey, bytes]], instead_of: Origin | None = None) -> None:
        """See the contract."""
        writer = self._writer_or_refuse()
        rows = ((*key, content) for key, content in base)
        started = False

        def act(connection: Connection) -> None:
            nonlocal started
            self._alone(connection)
            if self._origin_in(connection) != instead_of:
                raise BegunMeanwhile(f"{self._name}: its states have begun from something else; read its origin again")
            for table in (states, base_states):
                connection.execute(table.delete())
            started = True
            while part := list(islice(rows, _BASE_ROWS)):
                connection.exec_driver_sql(self._sql.insert_base, part)
            values = [(ORIGIN, json.dumps(asdict(origin))), (WATERMARK, "0"), (COMPACTED, "0")]
            connection.exec_driver_sql(self._sql.set_meta, values)

        writer.run(act, lambda: not started)
        self._last = replace(self._last, spec=origin.spec)

    def finish(self, origin: Origin, states: Iterable[tuple[EntityKey, SavedState]]) -> None:
        """See the contract."""
        rows = iter(states)
        building = replace(origin, building=True, seq=0)
        started = False

        def act(connection: Connection) -> None:
            nonlocal started
            self._alone(connection)
            found = self._origin_in(connection)
            if found is None or replace(found, seq=0) != building:
                raise BegunMeanwhile(f"{self._name}: its states have begun anew meanwhile; try again")
            started = True
            while part := list(islice(rows, _BASE_ROWS)):
                rows_of = [(*key, state.seq, state.content) for key, state in part]
                connection.exec_driver_sql(self._sql.save_state, rows_of)
            values = [(ORIGIN, json.dumps(asdict(origin))), (WATERMARK, str(origin.seq))]
            connection.exec_driver_sql(self._sql.set_meta, values)

        self._writer_or_refuse().run(act, lambda: not started)
        self._last = replace(self._last, spec=origin.spec)

    def base_states(self, keys: Sequence[EntityKey]) -> dict[EntityKey, bytes]:
        """See the contract."""
        found = self._log.read(lambda connection: of_entities(connection, self._sql.base, keys))
        return {key: row[0] for key, row in found.items()}

    def watermark(self) -> int:
        """See the contract."""
        return int(self._meta(WATERMARK) or 0)

    def compacted(self) -> int:
        """See the contract."""
        return int(self._meta(COMPACTED) or 0)

    def unfinished(self) -> frozenset[str] | None:
        """See the contract. A replica of PostgreSQL does not know."""
        return frozenset() if self._engine.dialect.name == "sqlite" else self._log.read(unfinished)

    def settle(self) -> int:
        """See the contract."""
        last, waiting = self._log.last_seq(), self.unfinished()
        deadline = time.monotonic() + _OTHERS
        while waiting:
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"{self._name}: another process's transaction takes too long; try again")
            time.sleep(_LOOK)
            waiting &= self.unfinished() or frozenset()
        return last

    def purging(self) -> AbstractContextManager[None]:
        """See the contract. Nobody else writes."""
        return nullcontext()

    def compact(self, base: Mapping[EntityKey, bytes], compacted: int) -> None:
        """See the contract."""
        self._write(lambda connection: compact(connection, self._sql, base, compacted))

    def erase(self, decisions: Sequence[Decision], entities: Sequence[EntityKey] = ()) -> int:
        """See the contract."""
        self._write(lambda connection: erase(connection, decisions, entities))
        return len(decisions) + len(entities)

    def scrub(self) -> bool:
        """See the contract. PostgreSQL: as far as VACUUM goes."""
        require_place(self._claim, self._name)
        return scrub(self._engine, self._name)

    def last_seq(self) -> int:
        """See the contract."""
        return self._log.last_seq()

    def log(self, after: int = 0, keys: Sequence[EntityKey] | None = None) -> Iterator[Decision | LabelEvent]:
        """See the contract. What is written while it is read is not seen."""
        return self._log.events(after, keys)

    def log_columns(self, after: int = 0, chunk: int = 50_000) -> Iterator[LogColumns]:
        """See the contract."""
        return self._log.columns(after, chunk)

    def find(self, transaction_id: str) -> Decision | None:
        """See the contract."""
        return self._log.find(transaction_id)

    def page(self, wanted: Filter, before: int | None, limit: int) -> Page:
        """See the contract."""
        return self._log.read(lambda connection: page(connection, self._sql, wanted, before, limit))

    def tally(self, version: str, after: int, since: int) -> Tally:
        """See the contract."""
        last = self.settle()
        return self._log.read(lambda connection: tally(connection, version, after, last, since))

    def activate(self, activation: Activation) -> bool:
        """See the contract."""
        return self._write(lambda connection: activations.activate(connection, activation))

    def activations(self) -> Sequence[Activation]:
        """See the contract."""
        return self._log.read(activations.of)

    def change_lists(self, changes: Sequence[ListChange]) -> bool:
        """See the contract."""
        return self._write(lambda connection: change(connection, changes))

    def list_changes(self, after: int = 0) -> Sequence[ListChange]:
        """See the contract."""
        return self._log.read(lambda connection: changes_after(connection, after))

    def keep_rules(self, rules: KeptRules) -> None:
        """See the contract."""
        self._write(lambda connection: keep(connection, rules))

    def kept_rules(self) -> Sequence[KeptRules]:
        """See the contract."""
        return self._log.read(kept)

    def desk(self) -> Desk:
        """See the contract."""
        return self

    def read(self, act: Callable[[Connection], T]) -> T:
        """See :class:`app.store.contract.Desk`."""
        return self._log.read(act)

    def write(self, act: Callable[[Connection], T]) -> T:
        """See :class:`app.store.contract.Desk`."""
        return self._write(act, ANSWERING)

    def size(self) -> int:
        """See the contract."""
        return self._log.read(size)

    def close(self) -> None:
        """See the contract."""
        if self._writer is not None:
            self._writer.end()
        self._engine.dispose()

    def _write(self, act: Callable[[Connection], T], seconds: float | None = None) -> T:
        """A transaction that may be repeated: it comes to the same."""

        def run(connection: Connection) -> T:
            self._alone(connection)
            return act(connection)

        return self._writer_or_refuse().run(run, seconds=seconds)

    def _writer_or_refuse(self) -> Writer:
        if self._writer is None:
            raise self._refusal()
        return self._writer

    def _meta(self, name: str) -> str | None:
        return self._log.read(lambda connection: connection.exec_driver_sql(self._sql.get_meta, (name,)).scalar())

    def _refusal(self) -> InvalidInput:
        return InvalidInput(f"{self._name} was opened for reading only; what is to be written needs its owner")
