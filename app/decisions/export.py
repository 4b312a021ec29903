"""The decision log as a table: CSV or Parquet, page by page, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import polars as pl
from pydantic_core import from_json, to_json

from app.decisions.query import MOST
from app.decisions.replies import DecisionLine, as_fields, line
from app.store.contract import Store
from app.store.query import Filter, Recorded
from models.aside import written_aside
from models.schema import TransactionSchema
from models.tables import csv_bytes, table_kind, write_frames

UTC = pl.Datetime("us", "UTC")
#: What a spreadsheet takes for the beginning of a formula, white space and invisible characters before it included.
_FORMULA = r"^(?:[\t\r\n]|[\s\x00-\x1f\u{feff}\u{200b}]*[=+\-@\u{ff1d}\u{ff0b}\u{ff0d}\u{ff20}])"
_TIMES = ("arrived_at", "time", "label_known_at")
#: Types of the columns, by what a decision's field holds; the others are texts.
_KINDS: dict[Any, Any] = {int: pl.Int64, float: pl.Float64, bool: pl.Boolean}


@dataclass(frozen=True, slots=True)
class Written:
    """What a file holds.

    Attributes:
        rows: in it.
        quoted: texts of a CSV that stand behind an apostrophe, so not as they were sent.
    """

    rows: int
    quoted: int


def pages(store: Store, wanted: Filter) -> Iterator[Sequence[Recorded]]:
    """The decisions that are wanted, newest first; the first page may be empty, no other is."""
    page = store.page(wanted, None, MOST)
    yield page.decisions
    while page.before is not None:
        page = store.page(wanted, page.before, MOST)
        if page.decisions:
            yield page.decisions


def frames(store: Store, wanted: Filter, schema: TransactionSchema) -> Iterator[pl.DataFrame]:
    """The decisions that are wanted, newest first, as frames of one schema; one without rows where there are none.

    Columns: those of :class:`app.decisions.replies.DecisionLine`, the ``transaction`` as JSON, and the texts of the
    ``reasons``.
    """
    for page in pages(store, wanted):
        yield frame_of(page, schema)


def csv_parts(parts: Iterator[pl.DataFrame]) -> Iterator[bytes]:
    """Frames as the pieces of one CSV, safe to open in a spreadsheet."""
    for number, frame in enumerate(parts):
        yield csv_bytes(spreadsheet_safe(frame), header=number == 0)


def write(parts: Iterator[pl.DataFrame], output: Path) -> Written:
    """Write frames to a file, aside and then renamed.

    Raises:
        InvalidInput: it is of no known kind, or cannot be written.
    """
    kind = table_kind(output, written=True)
    rows = quoted = 0

    def counted() -> Iterator[pl.DataFrame]:
        nonlocal rows, quoted
        for frame in parts:
            shown = frame if kind == ".parquet" else spreadsheet_safe(frame)
            rows += frame.height
            texts = [name for name in frame.columns if frame.schema[name] == pl.String]
            quoted += sum(int((frame[name] != shown[name]).sum()) for name in texts)
            yield shown

    with written_aside(output) as aside:
        write_frames(aside, counted(), kind=kind)
    return Written(rows, quoted)


def spreadsheet_safe(frame: pl.DataFrame) -> pl.DataFrame:
    """For CSV: times as ISO 8601 texts, and texts that a spreadsheet would take for a formula behind an apostrophe.

    Numbers are left alone: a minus is theirs.
    """
    times = [pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ") for name in frame.columns if frame.schema[name] == UTC]
    return frame.with_columns(
        *times,
        *(
            pl.when(pl.col(name).str.contains(_FORMULA)).then("'" + pl.col(name)).otherwise(pl.col(name)).alias(name)
            for name in frame.columns
            if frame.schema[name] == pl.String
        ),
    )


def _row(recorded: Recorded, schema: TransactionSchema) -> dict[str, Any]:
    told = as_fields(line(recorded, schema))
    reasons = from_json(recorded.decision.reply)["reasons"]
    transaction = to_json(told.pop("transaction")).decode()
    told["rules"] = "; ".join(told["rules"])
    return {**told, "reasons": "; ".join(reason["text"] for reason in reasons), "transaction": transaction}


def frame_of(page: Sequence[Recorded], schema: TransactionSchema) -> pl.DataFrame:
    """Some decisions as a frame; see :func:`frames`."""
    types = {name: _KINDS.get(kind, pl.String) for name, kind in get_type_hints(DecisionLine).items()}
    del types["transaction"]  # it comes last
    types |= {"reasons": pl.String, "transaction": pl.String}
    if schema.elapsed or schema.timestamp is None:
        types["time"] = pl.Float64
    frame = pl.DataFrame([_row(recorded, schema) for recorded in page], schema=types, orient="row")
    times = [name for name in _TIMES if types[name] == pl.String]
    return frame.with_columns(
        pl.col(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC") for name in times
    )
