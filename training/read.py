"""Read labelled or unlabelled transactions for training and evaluation, whole and in time order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.errors import InvalidInput
from models.rows import UNKNOWN, Batch, Vocabulary
from models.schema import TransactionSchema
from models.strict_tables import checked_chunks


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
        behaviour: float64 [n, behaviour features], from :func:`training.behaviour.remember`; none before.
        known: int64 [n], microseconds since when the label was known, or AT_ONCE; None where no column says it.
        reordered: whether the files had the rows in another order than that of time.
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

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[np.int64] | slice) -> History:
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
            None if self.known is None else self.known[where],
        )

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
) -> History:
    """Read all files under one schema.

    Args:
        progress: called with bytes read and bytes in all.

    Raises:
        InvalidInput: a file or a row cannot be used; names file, line, column and cause of the first few.
    """
    parts: list[History] = []
    for frame, parsed in checked_chunks(schema, files, progress):
        scenario = _scenario(schema, frame)
        if schema.label_timestamp and parsed.label is not None and parsed.known is None:
            told = schema.columns[schema.label_timestamp].told(schema.label_timestamp)
            raise InvalidInput(f"a file has labels and no column {told}, which says since when they were known")
        parts.append(
            History(
                parsed.numeric,
                parsed.text,
                parsed.time,
                np.full(len(parsed.time), UNKNOWN, np.int8) if parsed.label is None else parsed.label,
                parsed.label is not None,
                parsed.entity,
                None if scenario is None else scenario.filter(pl.Series(parsed.good)),
                known=parsed.known,
            )
        )
    history = _concat(parts, files)
    order = np.argsort(history.time, kind="stable")
    in_order = np.array_equal(order, np.arange(len(order)))
    return history if in_order else replace(history.take(order), reordered=True)


def _scenario(schema: TransactionSchema, frame: pl.DataFrame) -> pl.Series | None:
    """The column of scenarios, as it stands, where the table has it."""
    if schema.scenario is None:
        return None
    (field,) = schema.of_table(frame.columns).columns[schema.scenario].fields(schema.scenario)
    return frame[field].cast(pl.String) if field in frame.columns else None


def _concat(parts: list[History], files: list[Path]) -> History:
    if sum(map(len, parts)) == 0:
        raise InvalidInput(f"{files[0]}: no rows below the header; expected transactions")
    if len({part.labelled for part in parts}) > 1:
        raise InvalidInput("some of the files have the label column and some do not; give them one form")
    if len({part.scenario is None for part in parts}) > 1:
        parts = [replace(part, scenario=None) for part in parts]
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    scenarios = [part.scenario for part in parts if part.scenario is not None]
    known = [part.known for part in parts if part.known is not None]
    return History(
        np.concatenate([part.numeric for part in parts]),
        tuple(pl.concat([part.text[i] for part in parts]) for i in range(len(first.text))),
        np.concatenate([part.time for part in parts]),
        np.concatenate([part.label for part in parts]),
        first.labelled,
        {name: pl.concat([part.entity[name] for part in parts]) for name in first.entity},
        pl.concat(scenarios) if scenarios else None,
        known=np.concatenate(known) if len(known) == len(parts) else None,
    )
