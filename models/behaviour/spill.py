"""Behaviour features of a table of any size: events wait on disk, and some entities at a time run through the kernel.

The events of each chunk are written sorted by where the digest of their entity belongs, so that those of some entities
are found together in every chunk. What is held in memory is a few of these groups, and 32 bytes for each event of an
entity that has more events than a group.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.behaviour import layout as L
from models.behaviour.events import Behaviour, Entity, EntityEvents
from models.behaviour.replay import State
from models.behaviour.state_fork import Lookup, too_late_before
from models.behaviour.stream import EntityStream, digests_of, keys_of
from models.rows import AT_ONCE

#: Events that are held at the same time, for each thread.
GROUP_ROWS = 1 << 17
#: Entities are put in so many places by their digest; as many of these as fit make a group.
_PLACES_BITS = 10
#: Columns of an event on disk: its entity's digest, its row of the table, since when its label is known; the event.
_KEYS, _ROW, _KNOWN, _EVENT = slice(0, 2), 2, 3, 4
_TIME = _EVENT + L.E_TIME
_INDEX = [0, 1, _TIME]
Told = Callable[[int, int], None]


class FeatureSpill:
    """The features of a table's rows: :meth:`add` its chunks, :meth:`run`, then :meth:`chunk` as often as wanted.

    To the bit what :meth:`models.behaviour.state_fork.StateFork.take` gives for all rows in the order of time. The
    files have no name, so nothing is left of them whatever happens.

    Args:
        behaviour: which features.
        folder: where the files are.
        group_rows: see :data:`GROUP_ROWS`.

    Raises:
        OSError: the folder cannot be written to, or its disk is full; it says what for.
    """

    def __init__(self, behaviour: Behaviour, folder: Path, *, group_rows: int = GROUP_ROWS) -> None:
        self._behaviour = behaviour
        self._group_rows = group_rows
        self._rows = [0]
        self._late: NDArray[np.bool_] | None = None
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._kinds = [_Kind(entity, folder, stack) for entity in behaviour.entities]
            self._stack = stack.pop_all()

    def __enter__(self) -> FeatureSpill:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, rows: int, events: Sequence[EntityEvents]) -> None:
        """The next chunk's rows, so many, as events of each kind of entity."""
        for kind, some in zip(self._kinds, events, strict=True):
            kind.add(some, self._rows[-1])
        self._rows.append(self._rows[-1] + rows)

    def run(self, lookup: Lookup | None, *, threads: int = 1, told: Told = lambda done, of: None) -> None:
        """Compute the features of all rows.

        Args:
            lookup: the states to begin with, asked once for every entity; None: all are new.
            told: the events that are done, and all of them.
        """
        groups = [group for kind in self._kinds for group in kind.groups(self._group_rows)]
        if lookup is not None:
            late = [group.look(lookup, self._group_rows) for group in groups]
            if any(len(rows) for rows in late):
                self._late = np.zeros(self._rows[-1], bool)
                self._late[np.concatenate(late)] = True
        done, every = 0, sum(group.rows for group in groups)
        with ThreadPoolExecutor(threads) as pool:
            for rows in pool.map(lambda group: group.run(self._late, self._group_rows), groups):
                done += rows
                told(done, every)

    def chunk(self, number: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Which rows of a chunk are too late for the states; the features [rows, features] of all, NaN for those."""
        first, end = self._rows[number : number + 2]
        features = np.empty((end - first, self._behaviour.width))
        for kind in self._kinds:
            rows, found = kind.of_rows(first, end)
            features[rows, kind.entity.out] = found
        late = np.zeros(end - first, bool) if self._late is None else self._late[first:end]
        return late, features


class _Group:
    """Some entities of one kind, all of whose events lie in the same places."""

    def __init__(self, kind: _Kind, first: int, end: int, rows: int) -> None:
        self._kind, self._places, self.rows = kind, (first, end), rows
        self._begins: dict[bytes, State] = {}

    def look(self, lookup: Lookup, at_once: int) -> NDArray[np.int64]:
        """Take the states that the entities begin with: which rows of the table are too late for them."""
        name, asked = self._kind.entity.name, set[bytes]()
        found = [np.empty(0, np.int64)]
        for positions in _parts(self._kind.positions(*self._places), at_once):
            block = self._kind.events.read(positions)
            keys, group = np.unique(block[:, _KEYS], axis=0, return_inverse=True)
            digests = digests_of(keys)
            wanted = [(name, digest) for digest in digests if digest not in asked]
            asked.update(digest for _, digest in wanted)
            states = lookup(wanted)
            self._begins |= {key[1]: states[key] for key in wanted if key in states}
            begin = np.array([too_late_before(self._begins.get(digest)) for digest in digests], np.int64)
            found.append(block[block[:, _TIME] < begin[group], _ROW])
        return np.concatenate(found)

    def run(self, late: NDArray[np.bool_] | None, at_once: int) -> int:
        """Write the features of all events, NaN for rows that are too late: how many."""
        kind, positions, whole = self._kind, self._kind.positions(*self._places), None
        if len(positions) <= at_once:
            whole = kind.events.read(positions)
            index = whole[:, _INDEX]
        else:
            index = np.concatenate([kind.events.read(some)[:, _INDEX] for some in _parts(positions, at_once)])
        order = np.lexsort(index.T[::-1])  # by entity and time; those of one moment as they stand in the table
        stream, begins = EntityStream(kind.entity), dict(self._begins)
        for some in _parts(order, at_once):
            block = kind.events.read(positions[some]) if whole is None else whole[some]
            good = np.ones(len(block), bool) if late is None else ~late[block[:, _ROW]]
            kept = block[good]
            keys = np.ascontiguousarray(kept[:, _KEYS])
            mine = {digest: begins.pop(digest) for digest in digests_of(keys) if digest in begins} if begins else {}
            found, _ = stream.take(
                keys, np.ascontiguousarray(kept[:, _EVENT:]), np.ascontiguousarray(kept[:, _KNOWN]), mine
            )
            written = np.empty((len(block), 1 + found.shape[1]), np.int64)
            written[:, 0] = block[:, _ROW]
            features = written[:, 1:].view(np.float64)
            features[good], features[~good] = found, np.nan
            kind.features.write(positions[some], written)
        return len(positions)


class _Kind:
    """The events of one kind of entity, and their features once they are known. A row's position is within its chunk's.

    Attributes:
        entity: the kind.
        events, features: on disk, by position.
    """

    def __init__(self, entity: Entity, folder: Path, stack: ExitStack) -> None:
        self.entity = entity
        self.events = _Table(folder, stack, _EVENT + L.E_CODES + len(entity.behaviour.code_columns))
        self.features = _Table(folder, stack, 1 + len(entity.behaviour.derived))
        #: For each chunk, the positions where the events of each place begin, and the end.
        self._starts: list[NDArray[np.int64]] = []

    def add(self, events: EntityEvents, first: int) -> None:
        """The next chunk's events; its rows are counted from ``first`` on."""
        keys = keys_of(events.digests)
        place = (keys.view(np.uint64)[:, 0] >> np.uint64(64 - _PLACES_BITS)).astype(np.uint16)[events.group]
        order = np.argsort(place, kind="stable")
        block = np.empty((len(order), self.events.width), np.int64)
        block[:, _KEYS] = keys[events.group[order]]
        block[:, _ROW] = order + first
        block[:, _KNOWN] = AT_ONCE if events.known is None else events.known[order]
        block[:, _EVENT:] = events.events[order]
        self.events.write(np.arange(first, first + len(order)), block)
        self._starts.append(first + np.searchsorted(place[order], np.arange((1 << _PLACES_BITS) + 1)))

    def groups(self, at_once: int) -> Iterator[_Group]:
        """All events, in groups of neighbouring places with so many events together, or of one place with more."""
        sizes = np.diff(np.sum(self._starts, axis=0)).tolist() if self._starts else []
        first = rows = 0
        for place, size in enumerate(sizes):
            if rows and rows + size > at_once:
                yield _Group(self, first, place, rows)
                first, rows = place, 0
            rows += size
        if rows:
            yield _Group(self, first, len(sizes), rows)

    def positions(self, first: int, end: int) -> NDArray[np.int64]:
        """Of the events in these places, ascending."""
        return np.concatenate([np.arange(starts[first], starts[end]) for starts in self._starts])

    def of_rows(self, first: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The rows of a chunk, counted from its first, and the features of each."""
        block = self.features.read(np.arange(first, end))
        return block[:, 0] - first, block[:, 1:].view(np.float64)


class _Table:
    """Rows of whole numbers in a file without a name. Read and written by several threads."""

    def __init__(self, folder: Path, stack: ExitStack, width: int) -> None:
        self.width, self._folder = width, folder
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed by the stack
        self._file = stack.enter_context(file).fileno()

    def read(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows at some positions, in their order."""
        order, runs = _runs(positions)
        block = np.empty((len(positions), self.width), np.int64)
        for position, rows in runs:
            rest, at = block[rows].data.cast("B"), position * self.width * 8
            while rest:
                count = os.preadv(self._file, [rest], at)
                at, rest = at + count, rest[count:]
        found = np.empty_like(block)
        found[order] = block
        return found

    def write(self, positions: NDArray[np.int64], block: NDArray[np.int64]) -> None:
        """Write rows to their positions."""
        order, runs = _runs(positions)
        block = block[order]
        try:
            for position, rows in runs:
                rest, at = block[rows].data.cast("B"), position * self.width * 8
                while rest:
                    count = os.pwrite(self._file, rest, at)
                    at, rest = at + count, rest[count:]
        except OSError as error:
            told = (
                f"{error.strerror}; behaviour features of all rows wait there in temporary files until they are written"
            )
            raise OSError(error.errno, told, str(self._folder)) from None


def _runs(positions: NDArray[np.int64]) -> tuple[NDArray[np.intp], list[tuple[int, slice]]]:
    """The order in which positions ascend; and the first of each run of consecutive ones, with its part of them."""
    order = np.argsort(positions, kind="stable")
    ascending = positions[order]
    bounds = [0, *(np.flatnonzero(np.diff(ascending) != 1) + 1).tolist(), len(order)]
    return order, [(int(ascending[start]), slice(start, end)) for start, end in pairwise(bounds) if end > start]


def _parts(rows: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
