"""The states of all entities at one moment, as a file: what a fresh service and batch scoring go on from."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.behaviour import layout as L
from models.behaviour import plan as P
from models.behaviour.events import Behaviour, Entity
from models.behaviour.keys import EntityKey
from models.behaviour.records import size
from models.behaviour.replay import State
from models.errors import InvalidBundle

_KEY_BYTES = 16


@dataclass(frozen=True)
class Snapshot:
    """States by entity.

    Attributes:
        spec: of :class:`models.behaviour.events.Behaviour` that the states were made under.
        as_of: time of the newest transaction in it, microseconds.
        states: by entity key.
    """

    spec: str
    as_of: int
    states: Mapping[EntityKey, State]

    def to_bytes(self) -> bytes:
        """A NumPy archive: per entity the keys' digests, the lengths of the states, and the states."""
        arrays = {"spec": np.array(self.spec), "as_of": np.array(self.as_of)}
        for name in dict.fromkeys(name for name, _ in self.states):
            mine = sorted((digest, state) for (entity, digest), state in self.states.items() if entity == name)
            arrays[f"{name}/keys"] = np.frombuffer(b"".join(digest for digest, _ in mine), np.uint8)
            arrays[f"{name}/lengths"] = np.array([len(state) for _, state in mine], np.int64)
            arrays[f"{name}/states"] = np.concatenate([state for _, state in mine])
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes, behaviour: Behaviour, *, name: str) -> Snapshot:
        """Read and verify a snapshot.

        Args:
            behaviour: what it must have been made under.
            name: of the file, for messages.

        Raises:
            InvalidBundle: not a snapshot, of another declaration, or damaged.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                spec, as_of = str(arrays["spec"]), int(arrays["as_of"])
                if spec != behaviour.spec:
                    cause = "made under other [entity] sections or columns, or by another version of Counterfoil"
                    raise InvalidBundle(name, "declaration", f"{cause}; retrain or warm anew")
                states: dict[EntityKey, State] = {}
                for entity in behaviour.entities:
                    if f"{entity.name}/keys" not in arrays:
                        continue
                    keys = arrays[f"{entity.name}/keys"].astype(np.uint8).tobytes()
                    lengths = arrays[f"{entity.name}/lengths"].astype(np.int64)
                    content = arrays[f"{entity.name}/states"].astype(np.int64)
                    ends = np.cumsum(lengths)
                    if len(keys) != _KEY_BYTES * len(lengths) or (len(ends) and ends[-1] != len(content)):
                        raise InvalidBundle(name, "shape", "keys and states do not fit each other")
                    for i, (end, length) in enumerate(zip(ends.tolist(), lengths.tolist(), strict=True)):
                        state = content[end - length : end]
                        if length < 0 or not usable(entity, state):
                            raise InvalidBundle(name, "state", "a state is not one of this declaration")
                        states[entity.name, keys[_KEY_BYTES * i : _KEY_BYTES * (i + 1)]] = state
        except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise InvalidBundle(name, "readable", f"not a snapshot of states: {type(error).__name__}") from None
        return Snapshot(spec, as_of, states)


def usable(entity: Entity, state: State) -> bool:
    """Whether an array can be a state of this entity: the kernel does not check its bounds again."""
    plan = entity.plan
    if state.dtype != np.int64 or state.ndim != 1 or len(state) < plan[P.HEADER]:
        return False
    capacity, head, tail, bulk = (int(state[i]) for i in (L.CAP, L.HEAD, L.TAIL, L.BULK))
    if (
        bulk not in (0, 1)
        or not 0 <= head <= tail <= capacity <= L.CAPACITY
        or len(state) != size(plan, capacity, bulk)
    ):
        return False
    first = [L.WINDOWS_AT + w * plan[P.STEP] + L.LO for w in range(plan[P.WINDOWS])]
    first += [plan[P.DELAYED_AT] + d * L.D_SIZE + L.D_LO for d in range(plan[P.DELAYED])]
    return all(0 <= state[i] <= tail for i in (*first, L.HI, L.HI_DELAYED))
