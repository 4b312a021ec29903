"""States that a job on a cluster has left in Parquet files: checked, and read a few at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from models.behaviour import layout as L
from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State
from models.behaviour.snapshot import usable
from models.errors import InvalidInput

#: Columns: the digest of the declaration, the section of the profile, the digest of the key, the numbers of the state.
COLUMNS = {"spec": pl.String(), "entity": pl.String(), "key": pl.Binary(), "state": pl.Binary()}
_KEY_BYTES, _AT_ONCE = 16, 4_096


@dataclass(frozen=True)
class Summary:
    """Of all states in a folder.

    Attributes:
        states: how many.
        as_of: time of the newest transaction in them, microseconds.
        digest: SHA-256 over them in the order of the files' names.
    """

    states: int
    as_of: int
    digest: str


class StateFiles:
    """The states in a folder.

    Args:
        behaviour: what they must have been made under.

    Raises:
        InvalidInput: there are no such files.
    """

    def __init__(self, folder: Path, behaviour: Behaviour) -> None:
        self._folder, self._behaviour = folder, behaviour
        self._files = sorted(folder.glob("*.parquet"))
        if not self._files:
            raise InvalidInput(f"{folder}: no Parquet files of states; 'counterfoil spark' writes them: --states-out")

    def summary(self) -> Summary:
        """What they are; all of them are read, and found good.

        Raises:
            InvalidInput: a file is unreadable, holds something else, or was made under another declaration.
        """
        digest, states, as_of = hashlib.sha256(), 0, L.NEVER
        for part in self.parts():
            states += len(part)
            for (entity, key), state in part.items():
                digest.update(entity.encode() + b"\0" + key + state.tobytes())
                as_of = max(as_of, int(state[L.NEWEST]))
        return Summary(states, as_of, digest.hexdigest())

    def parts(self) -> Iterator[dict[EntityKey, State]]:
        """All states, some thousands at a time.

        Raises:
            InvalidInput: as :meth:`summary`.
        """
        entities = {entity.name: entity for entity in self._behaviour.entities}
        for file in self._files:
            try:
                for rows in pl.scan_parquet(file, glob=False).collect_batches(chunk_size=_AT_ONCE, maintain_order=True):
                    if dict(rows.schema) != COLUMNS:
                        raise InvalidInput(
                            f"{file}: expected columns {', '.join(COLUMNS)} of states, and no other ones"
                        )
                    part: dict[EntityKey, State] = {}
                    for spec, name, key, content in rows.iter_rows():
                        if spec != self._behaviour.spec:
                            cause = (
                                "made under other [entity] sections or columns, or by another version of Counterfoil"
                            )
                            raise InvalidInput(f"{file}: {cause}; make them anew")
                        state = np.frombuffer(content, "<i8") if len(content) % 8 == 0 else np.empty(0, np.int64)
                        if name not in entities or len(key) != _KEY_BYTES or not usable(entities[name], state):
                            raise InvalidInput(f"{file}: a state is not one of this declaration")
                        part[name, key] = state
                    yield part
            except (pl.exceptions.PolarsError, OSError):
                raise InvalidInput(f"{file}: not a readable Parquet file") from None
