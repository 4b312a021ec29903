"""States as a store keeps them: each begins with the digest of the declaration that it was made under.

The numbers of a state mean something else under another declaration, and nothing in them tells.
"""

from __future__ import annotations

import numpy as np

from app.store.errors import OtherStates
from models.behaviour.replay import State

#: Bytes of the digest; whole numbers of a state follow.
_DIGEST = 16


def to_bytes(state: State, spec: str) -> bytes:
    """A state made under a declaration.

    Args:
        spec: of :class:`models.behaviour.events.Behaviour`.
    """
    return bytes.fromhex(spec)[:_DIGEST] + state.tobytes()


def to_state(saved: bytes, spec: str) -> State:
    """The state, to be read only.

    Raises:
        OtherStates: it was made under another declaration.
    """
    if saved[:_DIGEST] != bytes.fromhex(spec)[:_DIGEST]:
        raise OtherStates(
            "a state in the store was made for a model with other [entity] sections, or other columns of amount and "
            "time; it is neither read nor replaced"
        )
    return np.frombuffer(saved, np.int64, offset=_DIGEST)
