"""Behaviour features of a history that does not fit in memory: its events on disk, by key, replayed part by part."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from models.behaviour import layout as L
from models.behaviour.events import Behaviour, Entity
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State
from models.behaviour.stream import EntityStream, keys_of
from models.errors import CounterfoilError
from models.rows import AT_ONCE, FRAUD
from training.read import History

#: States that are held, in bytes: a version with more would take several times as much to write and to load.
MOST_STATE_BYTES = 512 * 2**20
#: Parts of the keys: events of one part are sorted in memory.
_PARTS = 64
#: Events that run through the kernel at once.
_BATCH = 65_536
#: Of an event's record, before the event itself: two numbers of key digest, the row's number, since when it is known.
_NUMBER, _KNOWN, _EVENT = 2, 3, 4


class Spill:
    """Takes all rows in the order of the files, then gives the features of some of them, each as all rows before it in
    time have made it, to the bit those of :func:`training.behaviour.remember`.

    A part of the keys is in memory at a time: a 64th of the events, and all of the busiest card's or merchant's.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour

    def __enter__(self) -> Spill:
        self._folder = tempfile.TemporaryDirectory(prefix="counterfoil-")
        self._files = [self._opened(entity) for entity in self._behaviour.entities]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in (file for files in self._files for file in files):
            file.close()
        self._folder.cleanup()

    def take(self, history: History, first: int) -> None:
        """The next rows, numbered from ``first``.

        Raises:
            CounterfoilError: the disk is full.
        """
        if not len(history):
            return
        known = np.full(len(history), AT_ONCE) if history.known is None else history.known
        number = np.arange(first, first + len(history))
        told = self._behaviour.of_columns(
            history.time, history.numeric, history.text, history.entity, history.label == FRAUD
        )
        for events, files in zip(told, self._files, strict=True):
            keys = keys_of(events.digests)[events.group]
            part = (keys[:, 0] & 0xFF) * _PARTS >> 8
            order = np.argsort(part, kind="stable")
            records = np.column_stack([keys, number, known, events.events])[order]
            ends = np.cumsum(np.bincount(part, minlength=_PARTS))
            try:
                for file, some in zip(files, np.split(records, ends[:-1]), strict=True):
                    file.write(some.tobytes())
            except OSError as error:
                raise CounterfoilError(
                    f"{self._folder.name}: the events of a long history cannot be kept: {error.strerror}; "
                    "point TMPDIR to a disk with room for 100 bytes a row and [entity] section"
                ) from None

    def features(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.float64], dict[EntityKey, State]]:
        """Features [n, behaviour features] of rows by their numbers [n], ascending; and the states after all rows.

        The states are none at all where they are more than :data:`MOST_STATE_BYTES`.
        """
        found = np.empty((len(numbers), self._behaviour.width))
        states = _States()
        for entity, files in zip(self._behaviour.entities, self._files, strict=True):
            for file in files:
                self._replay(entity, file, numbers, found[:, entity.out], states)
        return found, states.kept

    def _opened(self, entity: Entity) -> list[BinaryIO]:
        folder = Path(self._folder.name)
        return [(folder / f"{entity.out.start}-{part}").open("w+b", buffering=0) for part in range(_PARTS)]

    def _replay(
        self,
        entity: Entity,
        file: BinaryIO,
        numbers: NDArray[np.int64],
        found: NDArray[np.float64],
        states: _States,
    ) -> None:
        file.seek(0)
        codes = len(entity.behaviour.code_columns)
        records = np.fromfile(file, np.int64).reshape(-1, _EVENT + L.E_CODES + codes)
        file.truncate(0)
        # Stable: rows of the same time stay in the order of the files.
        order = np.lexsort((records[:, _EVENT + L.E_TIME], records[:, 1], records[:, 0]))

        def ended(digest: bytes, state: State) -> None:
            states.take((entity.name, digest), state)

        stream = EntityStream(entity, None if states.too_many else ended)
        for start in range(0, len(order), _BATCH):
            rows = records[order[start : start + _BATCH]]
            features, _ = stream.take(rows[:, :_NUMBER], rows[:, _EVENT:], rows[:, _KNOWN])
            at = np.searchsorted(numbers, rows[:, _NUMBER])
            wanted = numbers[np.minimum(at, len(numbers) - 1)] == rows[:, _NUMBER]
            found[at[wanted]] = features[wanted]
        stream.finish()


class _States:
    """States of entities, until they are too many."""

    def __init__(self) -> None:
        self.kept: dict[EntityKey, State] = {}
        self.too_many = False
        self._bytes = 0

    def take(self, key: EntityKey, state: State) -> None:
        self._bytes += state.nbytes
        if self._bytes > MOST_STATE_BYTES:
            self.too_many = True
            self.kept.clear()
        if not self.too_many:
            self.kept[key] = state
