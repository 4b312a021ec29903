"""A store in front of a real one: it forwards everything, and its writes fail on command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from app.store.contract import Desk, Store
from app.store.errors import StoreUnavailable
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
from models.behaviour.keys import EntityKey


@dataclass(frozen=True)
class Stop:
    """When it fails, and how.

    Attributes:
        writes: that go well before.
        kept: whether the next one is made all the same, and only its answer lost.
    """

    writes: int
    kept: bool


class FaultyStore:
    """See :class:`app.store.contract.Store`.

    Args:
        store: what everything is forwarded to.
        stop: from which write on it fails; None: not until :meth:`fail`.
    """

    def __init__(self, store: Store, stop: Stop | None = None) -> None:
        self.store = store
        self.shared, self.risks = store.shared, store.risks
        self._stop, self._done = stop, 0

    def fail(self, stop: Stop) -> None:
        """Fail from here on."""
        self._stop, self._done = stop, 0

    def mend(self) -> None:
        """Work again."""
        self._stop = None

    @property
    def _stopped(self) -> bool:
        return self._stop is not None and self._done == self._stop.writes

    def _write(self, write: Callable[[], None]) -> None:
        if self._stop is None or not self._stopped or self._stop.kept:
            write()
        self._may_fail()
        self._done += 1

    def _may_fail(self) -> None:
        if self._stopped:
            raise StoreUnavailable("it fails on command")

    def transact(
        self,
        names: Sequence[Name],
        keys: Sequence[EntityKey],
        events: int,
        work: Callable[[View], Writes],
        labelled: Sequence[str] = (),
    ) -> None:
        self._write(lambda: self.store.transact(names, keys, events, work, labelled))

    def begin(self, origin: Origin, base: Iterable[tuple[EntityKey, bytes]], instead_of: Origin | None = None) -> None:
        self._write(lambda: self.store.begin(origin, base, instead_of))

    def finish(self, origin: Origin, states: Iterable[tuple[EntityKey, SavedState]]) -> None:
        self._write(lambda: self.store.finish(origin, states))

    def compact(self, base: Mapping[EntityKey, bytes], compacted: int) -> None:
        self._write(lambda: self.store.compact(base, compacted))

    def erase(self, decisions: Sequence[Decision], entities: Sequence[EntityKey] = ()) -> int:
        found = []
        self._write(lambda: found.append(self.store.erase(decisions, entities)))
        return found[0] if found else 0

    def unfinished(self) -> frozenset[str] | None:
        return self.store.unfinished()

    def settle(self) -> int:
        return self.store.settle()

    def purging(self) -> AbstractContextManager[None]:
        return self.store.purging()

    def prove(self) -> None:
        """No write that counts: nothing of it stays."""
        self._may_fail()
        self.store.prove()

    def activate(self, activation: Activation) -> bool:
        found = []
        self._write(lambda: found.append(self.store.activate(activation)))
        return found[0] if found else False

    def activations(self) -> Sequence[Activation]:
        return self.store.activations()

    def change_lists(self, changes: Sequence[ListChange]) -> bool:
        found = []
        self._write(lambda: found.append(self.store.change_lists(changes)))
        return found[0] if found else False

    def list_changes(self, after: int = 0) -> Sequence[ListChange]:
        return self.store.list_changes(after)

    def keep_rules(self, rules: KeptRules) -> None:
        self._write(lambda: self.store.keep_rules(rules))

    def kept_rules(self) -> Sequence[KeptRules]:
        return self.store.kept_rules()

    def scrub(self) -> bool:
        return self.store.scrub()

    def origin(self) -> Origin | None:
        return self.store.origin()

    def base_states(self, keys: Sequence[EntityKey]) -> dict[EntityKey, bytes]:
        return self.store.base_states(keys)

    def watermark(self) -> int:
        return self.store.watermark()

    def last_seq(self) -> int:
        return self.store.last_seq()

    def compacted(self) -> int:
        return self.store.compacted()

    def log(self, after: int = 0, keys: Sequence[EntityKey] | None = None) -> Iterator[Decision | LabelEvent]:
        return self.store.log(after, keys)

    def log_columns(self, after: int = 0, chunk: int = 50_000) -> Iterator[LogColumns]:
        return self.store.log_columns(after, chunk)

    def find(self, transaction_id: str) -> Decision | None:
        return self.store.find(transaction_id)

    def page(self, wanted: Filter, before: int | None, limit: int) -> Page:
        return self.store.page(wanted, before, limit)

    def desk(self) -> Desk | None:
        return self.store.desk()

    def tally(self, version: str, after: int, since: int) -> Tally:
        return self.store.tally(version, after, since)

    def size(self) -> int:
        return self.store.size()

    def close(self) -> None:
        self.store.close()
