"""Read a history to train on: whole where it fits, else rows drawn at random while all of it streams past.

A fit looks at 200,000 rows at most (:data:`training.fit.MAX_ROWS`), and a threshold and its figures are known to a few
per cent from as many. So more than :data:`MOST_ROWS` need not be held, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State
from models.clock import all_ahead, latest
from models.rows import FRAUD
from models.schema import TransactionSchema
from training.read import Drawn, History, concat, history_parts
from training.spill import Spill

#: Rows that are held, and numbers in them; a larger history is drawn from.
MOST_ROWS, MOST_CELLS = 1_000_000, 50_000_000
#: Fraud beyond that of the draw, which is held for those who learn from labels: fraud is rare, and worth more.
MOST_FRAUD = 50_000
#: Rows held until those that fell out of the draw are let go, in units of those that stay.
_SLACK = 1.25


def most_rows(schema: TransactionSchema) -> int:
    """How many rows of a history are held at most."""
    return min(MOST_ROWS, MOST_CELLS // max(len(schema.features), 1))


def read_for_training(
    schema: TransactionSchema,
    files: list[Path],
    *,
    seed: int,
    most: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> History:
    """All rows of the files, as :func:`training.read.read_history`, where they are no more than ``most``; else so many.

    Those are drawn uniformly, fraud and not, and have :attr:`training.read.History.drawn`, and the behaviour features
    that all rows together give them; fraud that was not drawn is held beside them. Rows that are ahead of the clock are
    left out. The same rows in the same order and the same seed give the same draw, whatever files and row groups they
    come in.

    Memory holds the drawn rows, a chunk of the others, and the states of cards and merchants, while they are no more
    than :data:`training.spill.MOST_STATE_BYTES`. The events lie in ``$TMPDIR`` meanwhile, 56 bytes or more for each row
    and ``[entity]`` section.

    Args:
        seed: of the draw.
        most: None takes :func:`most_rows`.
        progress: called with bytes read and bytes in all.
        on_stage: told when behaviour features are computed.

    Raises:
        InvalidInput: as :func:`training.read.read_history`.
        CounterfoilError: there is no room for the events.
    """
    most = most_rows(schema) if most is None else most
    behaviour, clock = Behaviour(schema), latest(schema)
    whole: list[History] = []
    held = late = newest = 0
    draw: _Draw | None = None
    fraud = _Draw(MOST_FRAUD, seed)
    spill: Spill | None = None
    with ExitStack() as stack:
        for part in history_parts(schema, files, progress):
            coming = [part]
            if draw is None:
                whole.append(part)
                held += len(part)
                if held <= most:
                    continue
                draw, coming, whole = _Draw(most, seed), whole, []
                if behaviour and part.behaviour is None:
                    spill = stack.enter_context(Spill(behaviour))
            for rows in coming:
                some = rows if clock is None else rows.take(rows.time <= clock)
                late += len(rows) - len(some)
                newest = max(newest, int(some.time.max(initial=0)))
                if spill is not None:
                    spill.take(some, draw.rows)
                numbers = np.arange(draw.rows, draw.rows + len(some))
                fraudulent = np.flatnonzero(some.label == FRAUD)
                fraud.take(some.take(fraudulent), numbers[fraudulent])
                draw.take(some, numbers)
        if draw is None:
            return concat(whole).in_time_order()
        if not draw.rows:
            raise all_ahead(late)
        history, numbers = draw.drawn()
        more, others = fraud.drawn()
        beside = np.flatnonzero(~np.isin(others, numbers))
        more, others = more.take(beside), others[beside]
        states: dict[EntityKey, State] = {}
        if spill is not None:
            on_stage("replaying")
            wanted = np.union1d(numbers, others)
            features, states = spill.features(wanted)
            more = replace(more, behaviour=features[np.searchsorted(wanted, others)])
            history = replace(history, behaviour=features if not len(others) else features[np.isin(wanted, numbers)])
    drawn = Drawn(draw.rows, len(history), late, newest, states, more.in_time_order())
    return replace(history, drawn=drawn).in_time_order()


class _Draw:
    """The rows with the smallest of random numbers, one for each row: a uniform sample without replacement.

    Args:
        most: rows that stay.
        seed: of the numbers.

    Attributes:
        rows: taken so far, those that do not stay included.
    """

    def __init__(self, most: int, seed: int) -> None:
        self.rows = 0
        self._most = most
        self._random = np.random.default_rng((seed, 1))  # not the numbers that the fit draws
        self._held, self._below = 0, 1.0
        self._parts: list[History] = []
        self._numbers: list[NDArray[np.int64]] = []
        self._lots: list[NDArray[np.float64]] = []

    def take(self, part: History, numbers: NDArray[np.int64]) -> None:
        """The next rows, with a number for each."""
        lots = self._random.random(len(part))
        staying = np.flatnonzero(lots < self._below)
        self._numbers.append(numbers[staying])
        self._lots.append(lots[staying])
        self._parts.append(part if len(staying) == len(part) else _picked(part, staying))
        self.rows += len(part)
        self._held += len(staying)
        if self._held > self._most * _SLACK:
            self._let_go()

    def drawn(self) -> tuple[History, NDArray[np.int64]]:
        """The rows that stay, in the order they came, and their numbers."""
        self._let_go()
        return concat(self._parts), np.concatenate(self._numbers)

    def _let_go(self) -> None:
        if self._held <= self._most:
            return
        self._below = float(np.partition(np.concatenate(self._lots), self._most)[self._most])
        for i, lots in enumerate(self._lots):
            staying = np.flatnonzero(lots < self._below)
            self._lots[i], self._numbers[i] = lots[staying], self._numbers[i][staying]
            self._parts[i] = _picked(self._parts[i], staying)
        self._held = sum(map(len, self._lots))


def _picked(history: History, rows: NDArray[np.int64]) -> History:
    """The chosen rows, with texts of their own: what Polars gathers holds on to all the text it was gathered from."""
    few = history.take(rows)

    def own(cells: pl.Series) -> pl.Series:
        return pl.Series(cells.name, cells.to_list(), pl.String)

    return replace(
        few,
        text=tuple(map(own, few.text)),
        entity={name: own(cells) for name, cells in few.entity.items()},
        scenario=None if few.scenario is None else own(few.scenario),
        id=None if few.id is None else own(few.id),
    )
