"""The recorded transactions as a table of the schema's own columns, labels included: what training and warming read."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
from pydantic_core import from_json

from app.decisions.export import UTC, pages
from app.store.contract import Store
from app.store.query import Filter, Recorded
from models.outcomes import OUTCOME
from models.schema import (
    PLAIN,
    Column,
    IgnoreColumn,
    LabelColumn,
    LabelTimestampColumn,
    NumericColumn,
    ScenarioColumn,
    TimeColumn,
    TransactionSchema,
)


def transaction_frames(
    store: Store, wanted: Filter, schema: TransactionSchema, *, outcomes: bool = False
) -> Iterator[pl.DataFrame]:
    """The transactions that are wanted, in their order of arrival, as frames of one schema; at least one.

    A page is newest first, and training takes rows of equal time, or without one, in the order of the file: the frames
    wait in a file without a name until the last page is read.

    Where the profile declares forms, a further column says that these are the plain ones, and the reader goes by it.

    Columns: the schema's but for the scenario; the label as the schema spells it, and since when it was known, null
    unless the latest is fraud or legitimate. What a transaction recorded under another schema lacks is null.

    Args:
        outcomes: with a further column, :data:`models.outcomes.OUTCOME`: the latest label in the service's words.
    """
    with tempfile.TemporaryFile() as spool:
        starts = []
        for page in pages(store, wanted):
            starts.append(spool.tell())
            frame = _frame(page, schema)
            if outcomes:
                frame = frame.with_columns(pl.Series(OUTCOME, [_latest(recorded) for recorded in page], pl.String))
            frame.reverse().write_ipc_stream(spool)
        end = spool.tell()
        for start in reversed(starts):
            spool.seek(start)
            yield pl.read_ipc_stream(io.BytesIO(spool.read(end - start)))
            end = start


def _frame(page: Sequence[Recorded], schema: TransactionSchema) -> pl.DataFrame:
    bodies: list[dict[str, Any]] = [from_json(recorded.decision.body) for recorded in page]
    columns = []
    for name, column in schema.plain.columns.items():
        match column:
            case ScenarioColumn() | IgnoreColumn():
                pass  # nobody tells the service, or nobody keeps it
            case LabelColumn():
                columns.append(_labels(name, column, page))
            case LabelTimestampColumn():
                columns.append(
                    _values(name, column, [_known_at(recorded, elapsed=column.elapsed) for recorded in page])
                )
            case _:
                columns.append(_values(name, column, [body.get(name) for body in bodies]))
    if schema.formed:
        columns.append(pl.repeat(True, len(page), dtype=pl.Boolean, eager=True).alias(PLAIN))
    return pl.DataFrame(columns)


def _labels(name: str, column: LabelColumn, page: Sequence[Recorded]) -> pl.Series:
    verdicts = (("fraud", column.fraud), ("legitimate", column.legitimate))
    words = {verdict: values[0] for verdict, values in verdicts if values}
    latest = [words.get(_latest(recorded) or "") for recorded in page]
    # An enumeration and no text: it is the profile's own, and no spreadsheet must be kept from it.
    return pl.Series(name, latest, dtype=pl.Enum(list(dict.fromkeys(words.values()))))


def _known_at(recorded: Recorded, *, elapsed: bool) -> int | None:
    """Since when the latest label was known; nobody can tell where times count from an unknown start."""
    settled = not elapsed and recorded.labels and recorded.labels[-1].label in ("fraud", "legitimate")
    return recorded.labels[-1].known_at if settled else None


def _latest(recorded: Recorded) -> str | None:
    return recorded.labels[-1].label if recorded.labels else None


def _values(name: str, column: Column, values: list[Any]) -> pl.Series:
    if isinstance(column, TimeColumn):
        micros = pl.Series(name, values, dtype=pl.Int64, strict=False)
        return micros / 1e6 if column.format == "elapsed-s" else micros.cast(UTC)
    kind = pl.Float64 if isinstance(column, NumericColumn) else pl.String
    return pl.Series(name, values, dtype=kind, strict=False)
