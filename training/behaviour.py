"""Behaviour features of a history: replayed in time order, its beginning left out, some of it forgotten on purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, replay
from models.behaviour.spec import ELAPSED
from models.behaviour.state_fork import StateFork
from models.errors import InvalidInput
from models.rows import FRAUD, ParsedRows
from training.read import History

#: Share of the training rows in which one kind of entity is made new: a new card is then known, and no alarm by itself.
FORGOTTEN_SHARE = 0.03


def remember(behaviour: Behaviour, history: History) -> tuple[History, dict[EntityKey, State]]:
    """The history with its behaviour features, and the states after its last row.

    Labels count once the label delay is over, and where it is told since when they were known, not before.
    """
    fraud = history.label == FRAUD
    events = behaviour.of_columns(history.time, history.numeric, history.text, history.entity, fraud, history.known)
    replayed = replay(behaviour, events, keep=True)
    return replace(history, behaviour=replayed.features), replayed.states


def warm_up_end(behaviour: Behaviour, time: NDArray[np.int64]) -> int:
    """How many rows at the beginning of a history have windows that reach back before it.

    They would teach the detector that payments have little behind them. At most a third of the span is given up.
    """
    if not len(time):
        return 0
    longest = max((max(entity.behaviour.window_seconds) for entity in behaviour.entities), default=0) * 1_000_000
    span = int(time[-1] - time[0])
    return int(np.searchsorted(time, time[0] + min(longest, span // 3), side="left"))


def forget_some(behaviour: Behaviour, numeric: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """A copy of the training rows in which a few, for each kind of entity, look as if the entity were new.

    Args:
        numeric: float64 [n, numeric features], those of behaviour last.
    """
    random = np.random.default_rng(seed)
    forgotten = numeric.copy()
    first = numeric.shape[1] - behaviour.width
    for entity in behaviour.entities:
        rows = random.random(len(numeric)) < FORGOTTEN_SHARE
        forgotten[rows, first + entity.out.start : first + entity.out.stop] = cold(behaviour, entity.name)
    return forgotten


def cold(behaviour: Behaviour, name: str) -> NDArray[np.float64]:
    """The features of an entity without events, as the kernel writes them."""
    entity = next(entity for entity in behaviour.entities if entity.name == name)
    return np.array(
        [
            float(max(entity.behaviour.window_seconds)) if feature.word in ELAPSED else feature.cold
            for feature in entity.behaviour.derived
        ]
    )


def continued(fork: StateFork, history: History) -> History:
    """A history with its behaviour features, going on from other states.

    Raises:
        InvalidInput: the history begins before what those states end with.
    """
    rows = ParsedRows(
        good=np.ones(len(history), bool),
        numeric=history.numeric,
        text=history.text,
        entity=history.entity,
        time=history.time,
        label=history.label,
        errors=(),
        known=history.known,
    )
    kept, features = fork.take(rows)
    if kept.errors:
        raise InvalidInput(
            f"{len(kept.errors):,} rows are older than the states they should go on from; "
            "measure without history: --state empty"
        )
    return replace(history, behaviour=features)
