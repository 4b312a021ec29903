"""The store on SQLite (embedded) or PostgreSQL: one process owns it, others may read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice

from sqlalchemy import Connection, Engine

from app.store.errors import BegunMeanwhile
from app.store.query import Filter, Page
from app.store.records import Decision, LabelEvent, LogColumns, Name, Origin, View, Writes
from app.store.sql import migrations
from app.store.sql.log import SqlLog
from app.store.sql.ownership import FileLock
from app.store.sql.purge import compact, erase, scrub
from app.store.sql.query import page
from app.store.sql.size import size
from app.store.sql.statements import Statements
from app.store.sql.tables import base_states, states
from app.store.sql.transaction import COMPACTED, ORIGIN, WATERMARK, last_seq, of_entities, view, write
from app.store.sql.writer import Writer
from models.behaviour.keys import EntityKey
from models.errors import InvalidInput

_BASE_ROWS = 10_000
#: Seconds for each statement that requests wait for.
_ANSWERING = 10.0


class SqlStore:
    """See :class:`app.store.contract.Store`.

    Args:
        engine: from :mod:`app.store.sql.engines`.
        name: for messages.
        lock: held by this process; released on close.
        read_only: reads beside the owner, takes no claim, never writes: :meth:`transact` then refuses what ``work``
            returns unless it is empty.

    Raises:
        StoreInUse: another process owns it.
        StoreUnavailable: it cannot be reached.
        InvalidInput: it is of another version of Counterfoil.
    """

    shared = False
    risks: Sequence[str] = ()

    def __init__(self, engine: Engine, name: str, *, lock: FileLock | None = None, read_only: bool = False) -> None:
        self._engine, self._name, self._lock = engine, name, lock
        self._sql = Statements(engine.dialect)
        self._log = SqlLog(engine, name, self._sql)
        self._writer = None if read_only else Writer(engine, name, self._connected)
        self._next_seq = 1
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
            self._next_seq = last_seq(connection, self._sql) + 1

    def transact(
        self, names: Sequence[Name], keys: Sequence[EntityKey], events: int, work: Callable[[View], Writes]
    ) -> None:
        """See the contract. ``events`` needs no reserving: nobody else writes."""
        if self._writer is None:
            if work(self._log.read(lambda connection: view(connection, self._sql, names, keys))) != Writes():
                raise self._refusal()
            return
        called = False
        written: list[int] = []

        def act(connection: Connection) -> None:
            nonlocal called
            if not names and not keys:
                connection.exec_driver_sql("SELECT 1")  # a dead connection shows before work is called
            seen = view(connection, self._sql, names, keys, self._next_seq)
            called = True
            writes = work(seen)
            written.extend(decision.seq for decision in writes.decisions)
            written.extend(label.seq for label in writes.labels)
            write(connection, self._sql, writes)

        def landed(connection: Connection) -> bool:
            return bool(written) and last_seq(connection, self._sql) >= max(written)

        self._writer.run(act, lambda: not called, landed, _ANSWERING)
        self._next_seq = max([self._next_seq, *(seq + 1 for seq in written)])

    def origin(self) -> Origin | None:
        """See the contract."""
        value = self._meta(ORIGIN)
        return None if value is None else Origin(**json.loads(value))

    def begin(self, origin: Origin, base: Iterable[tuple[EntityKey, bytes]], instead_of: Origin | None = None) -> None:
        """See the contract."""
        if self._writer is None:
            raise self._refusal()
        if self.origin() != instead_of:
            raise BegunMeanwhile(f"{self._name}: its states have begun from something else; read its origin again")
        rows = ((*key, content) for key, content in base)
        started = False

        def act(connection: Connection) -> None:
            nonlocal started
            for table in (states, base_states):
                connection.execute(table.delete())
            started = True
            while part := list(islice(rows, _BASE_ROWS)):
                connection.exec_driver_sql(self._sql.insert_base, part)
            values = [(ORIGIN, json.dumps(asdict(origin))), (WATERMARK, "0"), (COMPACTED, "0")]
            connection.exec_driver_sql(self._sql.set_meta, values)

        self._writer.run(act, lambda: not started)

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

    def compact(self, base: Mapping[EntityKey, bytes], compacted: int) -> None:
        """See the contract."""
        self._write(lambda connection: compact(connection, self._sql, base, compacted))

    def erase(self, decisions: Sequence[Decision], entities: Sequence[EntityKey] = ()) -> None:
        """See the contract."""
        self._write(lambda connection: erase(connection, decisions, entities))

    def scrub(self) -> bool:
        """See the contract. PostgreSQL: as far as VACUUM goes."""
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

    def size(self) -> int:
        """See the contract."""
        return self._log.read(size)

    def close(self) -> None:
        """See the contract."""
        if self._writer is not None:
            self._writer.close()
        self._engine.dispose()
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    def _write(self, act: Callable[[Connection], None]) -> None:
        """A transaction that may be repeated: it comes to the same."""
        if self._writer is None:
            raise self._refusal()
        self._writer.run(act)

    def _meta(self, name: str) -> str | None:
        return self._log.read(lambda connection: connection.exec_driver_sql(self._sql.get_meta, (name,)).scalar())

    def _refusal(self) -> InvalidInput:
        return InvalidInput(f"{self._name} was opened for reading only; what is to be written needs its owner")
