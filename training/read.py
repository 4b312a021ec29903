"""Read labelled or unlabelled transactions for training and evaluation, whole and in time order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.errors import InvalidInput
from models.outcomes import IS_DISPUTED, IS_FRAUD, IS_LEGITIMATE, OUTCOME
from models.rows import FRAUD, LEGITIMATE, UNKNOWN, Batch, ParsedRows, Vocabulary
from models.schema import TransactionSchema
from models.strict_tables import checked_chunks

if TYPE_CHECKING:
    from models.behaviour.keys import EntityKey
    from models.behaviour.replay import State


@dataclass(frozen=True)
class Drawn:
    """Where the rows of a history come from that is a sample of a larger one (:mod:`training.draw`).

    Attributes:
        of: rows that were drawn from; ``kept``: rows drawn.
        late: rows that were ahead of the clock and are in neither.
        newest: time of the latest of those rows, microseconds.
        states: of cards and merchants after all of those rows; empty where the files brought the behaviour features,
            and where they are too many.
        fraud: known fraud that is not among the rows drawn, in time order.
    """

    of: int
    kept: int
    late: int
    newest: int
    states: Mapping[EntityKey, State]
    fraud: History


@dataclass(frozen=True)
class History:
    """Parsed transactions in time order (file order among equal times, and where there is no timestamp).

    Attributes:
        numeric: float64 [n, numeric features], NaN where missing.
        text: one column [n] per categorical feature.
        time: int64 [n], microseconds.
        label: int8 [n]: FRAUD, LEGITIMATE or UNKNOWN; all UNKNOWN where ``labelled`` is False.
        labelled: whether the tables have the schema's label column.
        entity: one column [n] per entity of the schema, e.g. the card id.
        scenario: fraud scenario [n], or None.
        behaviour: float64 [n, behaviour features], from :func:`training.behaviour.remember`; None before, where the
            tables have no columns of them.
        known: int64 [n], microseconds since when the label was known, or AT_ONCE; None where no column says it.
        reordered: whether the files had the rows in another order than that of time.
        id: transaction ids [n]; None where the schema has none.
        disputed: bool [n], neither fraud nor legitimate for sure: never fitted; None where nothing says so.
        drawn: what the rows are a sample of, or a part of such a sample; None where they are all.
    """

    numeric: NDArray[np.float64]
    text: tuple[pl.Series, ...]
    time: NDArray[np.int64]
    label: NDArray[np.int8]
    labelled: bool
    entity: dict[str, pl.Series]
    scenario: pl.Series | None
    behaviour: NDArray[np.float64] | None = None
    known: NDArray[np.int64] | None = None
    reordered: bool = False
    id: pl.Series | None = None
    disputed: NDArray[np.bool_] | None = None
    drawn: Drawn | None = None

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> History:
        """The chosen rows, in the order of ``rows``."""
        where = np.arange(len(self))[rows]
        return History(
            self.numeric[where],
            tuple(column.gather(where) for column in self.text),
            self.time[where],
            self.label[where],
            self.labelled,
            {name: column.gather(where) for name, column in self.entity.items()},
            None if self.scenario is None else self.scenario.gather(where),
            None if self.behaviour is None else self.behaviour[where],
            known=None if self.known is None else self.known[where],
            id=None if self.id is None else self.id.gather(where),
            disputed=None if self.disputed is None else self.disputed[where],
            drawn=self.drawn,
        )

    @property
    def each(self) -> float:
        """How many rows of the files each of these stands for."""
        return 1.0 if self.drawn is None else self.drawn.of / self.drawn.kept

    @property
    def fitted(self) -> NDArray[np.bool_]:
        """Rows [n] that may be fitted and calibrated on: neither fraud nor disputed."""
        fitted: NDArray[np.bool_] = self.label != FRAUD
        return fitted if self.disputed is None else fitted & np.logical_not(self.disputed)

    def in_time_order(self) -> History:
        """The same rows by time, those of equal time in the order they have."""
        order = np.argsort(self.time, kind="stable")
        return self if np.array_equal(order, np.arange(len(order))) else replace(self.take(order), reordered=True)

    def batch(self, vocabulary: Vocabulary) -> Batch:
        """The rows as the detector takes them."""
        batch = Batch.encoded(self.numeric, self.text, self.time, vocabulary)
        return batch if self.behaviour is None else batch.with_behaviour(self.behaviour)

    def fingerprint(self) -> str:
        """SHA-256 over all parsed values in order."""
        digest = hashlib.sha256()
        known = () if self.known is None else (self.known,)
        for array in (self.numeric, self.time, self.label, *known):
            digest.update(np.ascontiguousarray(array).tobytes())
        for column in (*self.text, *self.entity.values()):
            digest.update("\x1f".join(column.fill_null("").to_list()).encode())
        return digest.hexdigest()


def read_history(
    schema: TransactionSchema,
    files: list[Path],
    *,
    progress: Callable[[int, int], None] | None = None,
    known_as: Callable[[ParsedRows], ParsedRows] = lambda rows: rows,
) -> History:
    """Read all files under one schema. Where a table has :data:`models.outcomes.OUTCOME`, that is the label.

    Args:
        progress: called with bytes read and bytes in all.
        known_as: gives rows the ids that their cards and merchants go by.

    Raises:
        InvalidInput: a file or a row cannot be used; names file, line, column and cause of the first few.
    """
    return concat(list(history_parts(schema, files, progress, known_as))).in_time_order()


def history_parts(
    schema: TransactionSchema,
    files: list[Path],
    progress: Callable[[int, int], None] | None = None,
    known_as: Callable[[ParsedRows], ParsedRows] = lambda rows: rows,
) -> Iterator[History]:
    """:func:`read_history` a chunk at a time, in the order of the files; at least one."""
    first: History | None = None
    rows = 0
    for frame, read in checked_chunks(schema, files, progress):
        part = _part(schema, frame, known_as(read))
        first = first or part
        if part.labelled != first.labelled:
            raise InvalidInput("some of the files have the label column and some do not; give them one form")
        if (part.behaviour is None) != (first.behaviour is None):
            raise InvalidInput(
                "some of the files have columns of behaviour features and some do not; give them one form"
            )
        rows += len(part)
        yield part
    if not rows:
        raise InvalidInput(f"{files[0]}: no rows below the header; expected transactions")


def _part(schema: TransactionSchema, frame: pl.DataFrame, parsed: ParsedRows) -> History:
    scenario = _scenario(schema, frame)
    if schema.label_timestamp and parsed.label is not None and parsed.known is None:
        told = schema.columns[schema.label_timestamp].told(schema.label_timestamp)
        raise InvalidInput(f"a file has labels and no column {told}, which says since when they were known")
    good = pl.Series(parsed.good)
    outcome = frame[OUTCOME].filter(good) if OUTCOME in frame.columns else None
    return History(
        parsed.numeric,
        parsed.text,
        parsed.time,
        _label(parsed, outcome),
        parsed.label is not None or outcome is not None,
        parsed.entity,
        None if scenario is None else scenario.filter(good),
        known=parsed.known,
        id=parsed.id,
        disputed=None if outcome is None else (outcome == IS_DISPUTED).fill_null(False).to_numpy(),
        behaviour=_features(schema, frame.filter(good)),
    )


def _label(parsed: ParsedRows, outcome: pl.Series | None) -> NDArray[np.int8]:
    """FRAUD, LEGITIMATE or UNKNOWN of each row [n]."""
    if outcome is not None:
        words = {IS_FRAUD: FRAUD, IS_LEGITIMATE: LEGITIMATE}
        return outcome.replace_strict(words, default=UNKNOWN, return_dtype=pl.Int8).to_numpy()
    return np.full(len(parsed.time), UNKNOWN, np.int8) if parsed.label is None else parsed.label


def _features(schema: TransactionSchema, frame: pl.DataFrame) -> NDArray[np.float64] | None:
    """Behaviour features [n, features] that the table has as columns, as ``counterfoil spark train-set`` writes them.

    Raises:
        InvalidInput: it has some of them, or one is missing in a row.
    """
    names = [feature.name for feature in schema.behaviour]
    present = [name for name in names if name in frame.columns]
    if not present:
        return None
    lacking = [name for name in names if name not in present]
    if lacking:
        raise InvalidInput(
            f"a file has columns of behaviour features, but none of {', '.join(lacking[:3])}; make it anew"
        )
    found = frame.select(pl.col(names).cast(pl.Float64, strict=False)).to_numpy()
    if not np.isfinite(found).all():
        raise InvalidInput("a file has columns of behaviour features with cells that are no number; make it anew")
    return found


def _scenario(schema: TransactionSchema, frame: pl.DataFrame) -> pl.Series | None:
    """The column of scenarios, as it stands, where the table has it."""
    if schema.scenario is None:
        return None
    (field,) = schema.of_table(frame.columns).columns[schema.scenario].fields(schema.scenario)
    return frame[field].cast(pl.String) if field in frame.columns else None


def concat(parts: list[History]) -> History:
    """All parts, one below the other; what not all of them have is left out, but for who is disputed."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    scenarios = [part.scenario for part in parts if part.scenario is not None]
    known = [part.known for part in parts if part.known is not None]
    ids = [part.id for part in parts if part.id is not None]
    disputed = [np.zeros(len(part), bool) if part.disputed is None else part.disputed for part in parts]
    behaviour = [part.behaviour for part in parts if part.behaviour is not None]
    return History(
        np.concatenate([part.numeric for part in parts]),
        tuple(pl.concat([part.text[i] for part in parts]) for i in range(len(first.text))),
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.label for part in parts]),
        any(part.labelled for part in parts),
        {name: pl.concat([part.entity[name] for part in parts]) for name in first.entity},
        pl.concat(scenarios) if len(scenarios) == len(parts) else None,
        np.concatenate(behaviour) if len(behaviour) == len(parts) else None,
        known=np.concatenate(known) if len(known) == len(parts) else None,
        id=pl.concat(ids) if len(ids) == len(parts) else None,
        disputed=np.concatenate(disputed) if any(part.disputed is not None for part in parts) else None,
    )
