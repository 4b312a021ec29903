"""The store on PostgreSQL, shared by the processes of several hosts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from operator import attrgetter

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from app.store.errors import Contended, OtherStates, StoreInUse, StoreUnavailable
from app.store.packing import id_digest
from app.store.records import Decision, Name, View, Writes
from app.store.sql.advisory import GATE, PURGE
from app.store.sql.failures import guard
from app.store.sql.purge import compact, erase, unchanged, without_decisions
from app.store.sql.sharing import reserve
from app.store.sql.store import ANSWERING, SqlStore
from app.store.sql.transaction import COMPACTED, ORIGIN, of_entities, origin_of, prove, require_built, view, write
from models.behaviour.keys import EntityKey

_TOGETHER = f"SELECT pg_advisory_xact_lock_shared({GATE})"
_ALONE = f"SELECT pg_advisory_xact_lock({GATE})"
_PURGES, _PURGED = f"SELECT pg_try_advisory_lock({PURGE})", f"SELECT pg_advisory_unlock({PURGE})"
#: Tries until other processes that write to the same names count as a failure.
_TRIES = 200
#: A place that no event has, with room for one more after it.
_NOWHERE = -2


class SharedSqlStore(SqlStore):
    """See :class:`app.store.contract.Store`.

    A transaction holds the rows of its entities' states from before it reserves its places until it is committed, so
    the order of an entity's events is the order of their places. Names and first states are not held: where another
    process wrote the same meanwhile, an index refuses it, and the transaction begins again. What is rare (a beginning,
    a purge's steps, activations, lists, the console's work) waits until no other transaction is under way, and lets
    none begin. Every state is written with its event, so nothing needs replaying.
    """

    shared = True
    _compacting: str | None = None  # the origin whose compacted place was asked for last

    def _connected(self, connection: Connection) -> None:
        """Nothing that was read before is relied on; :class:`app.store.sql.sharing.SharedClaim` has looked."""

    def _alone(self, connection: Connection) -> None:
        connection.exec_driver_sql(_ALONE)

    def transact(
        self,
        names: Sequence[Name],
        keys: Sequence[EntityKey],
        events: int,
        work: Callable[[View], Writes],
        labelled: Sequence[str] = (),
    ) -> None:
        """See the contract. What is written must be among the names and entities that were asked for."""
        if not events:
            seen = self._log.read(lambda connection: self._view(connection, names, keys, labelled))
            if work(seen) == Writes():
                return
        keys, labelled = sorted(set(keys)), sorted(labelled, key=id_digest)
        for attempt in range(_TRIES):
            try:
                self._attempt(names, keys, max(events, 1), work, labelled)
            except Contended:
                time.sleep(random.random() * min(attempt, 20) / 1_000)
            else:
                return
        raise StoreUnavailable(f"{self._name}: other processes kept writing to the same transactions; try again")

    def _attempt(
        self,
        names: Sequence[Name],
        keys: Sequence[EntityKey],
        events: int,
        work: Callable[[View], Writes],
        labelled: Sequence[str],
    ) -> None:
        written: list[int] = []

        def act(connection: Connection) -> None:
            connection.exec_driver_sql(_TOGETHER)
            for _ in self._sql.held_decisions.rows(connection, [id_digest(name) for name in labelled]):
                pass
            saved = of_entities(connection, self._sql.held_states, keys)
            first, origin = reserve(connection, events)
            begun = origin_of(origin)
            require_built(begun, self._name)
            spec = None if begun is None else begun.spec
            writes = work(view(connection, self._sql, names, keys, labelled, first, spec, saved))
            written[:] = map(attrgetter("seq"), (*writes.decisions, *writes.labels))
            write(connection, self._sql, writes, saved)

        def landed(connection: Connection) -> bool:
            places = (self._sql.by_seq, self._sql.labels_by_seq)
            return bool(written) and any(list(lookup.rows(connection, written[:1])) for lookup in places)

        self._writer_or_refuse().run(act, landed=landed, seconds=ANSWERING)

    def prove(self) -> None:
        """See the contract."""

        def act(connection: Connection) -> None:
            connection.exec_driver_sql(_TOGETHER)
            prove(connection, self._sql, _NOWHERE)

        self._writer_or_refuse().run(act)

    @contextmanager
    def purging(self) -> Iterator[None]:
        """See the contract. The session that says so does nothing else."""
        connection = guard(self._name, self._engine.connect).execution_options(isolation_level="AUTOCOMMIT")
        try:
            if not guard(self._name, lambda: connection.exec_driver_sql(_PURGES).scalar()):
                raise StoreInUse(f"{self._name}: another purge is running; begin this one once it is done")
            try:
                yield
            finally:
                with suppress(DBAPIError):  # a session that broke holds nothing
                    connection.exec_driver_sql(_PURGED)  # now: the server sees the session's end only a little later
        finally:
            connection.invalidate()
            connection.close()

    def compacted(self) -> int:
        """See the contract."""

        def both(connection: Connection) -> list[str | None]:
            return [self._kept(connection, name) for name in (ORIGIN, COMPACTED)]

        self._compacting, compacted = self._log.read(both)
        return int(compacted or 0)

    def compact(self, base: Mapping[EntityKey, bytes], compacted: int) -> None:
        """See the contract."""

        def act(connection: Connection) -> None:
            if self._compacting is not None and self._kept(connection, ORIGIN) != self._compacting:
                raise OtherStates(f"{self._name}: its states have begun anew meanwhile; try again")
            compact(connection, self._sql, base, compacted)

        self._write(act)

    def erase(self, decisions: Sequence[Decision], entities: Sequence[EntityKey] = ()) -> int:
        """See the contract."""

        def act(connection: Connection) -> int:
            compacted = int(self._kept(connection, COMPACTED) or 0)
            gone = unchanged(connection, self._sql, decisions, compacted)
            erase(connection, gone, ())
            left: Collection[EntityKey] = without_decisions(connection, entities)
            erase(connection, (), list(left))
            return len(gone) + len(left)

        return self._write(act)

    def _kept(self, connection: Connection, name: str) -> str | None:
        value: str | None = connection.exec_driver_sql(self._sql.get_meta, (name,)).scalar()
        return value
