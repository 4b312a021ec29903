"""Something to look at: payments of a file scored and recorded as if they had just been sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from app.generation import Generation
from app.recording.answers import Answer
from app.recording.recorder import Recorder
from app.requests.arrival import Arrival, ScoreOptions
from app.settings import Settings
from models.errors import InvalidInput
from models.scorer import Scorer

_AT_ONCE, _REASONS = 128, 3


def record_demo(settings: Settings, scorer: Scorer, path: Path, progress: Callable[[int, int], None]) -> int:
    """Score the payments of a CSV, in its order, into an empty store; how many were alerts.

    Args:
        progress: told how many are recorded, of how many.

    Raises:
        InvalidInput: the store has recorded something, or a payment cannot be scored.
        StoreInUse: a service is running on it.
    """
    generation = Generation.of(settings, scorer)
    recorder = Recorder.open(settings, generation.scorer, generation.pseudonyms)
    try:
        if recorder.store.last_seq():
            raise InvalidInput(
                "the store holds recorded payments: a demo would be mixed up with them; name another one"
            )
        rows = _rows(path, generation)
        arrivals, done, alerts = iter(_arrivals(rows, generation)), 0, 0
        while some := list(islice(arrivals, _AT_ONCE)):
            answers = recorder.answer(generation.engine, some)
            if any(not isinstance(answer, Answer) for answer in answers):
                raise InvalidInput(f"{path}: a payment was refused; make the file with 'counterfoil simulate'")
            replies = [answer.reply for answer in answers if isinstance(answer, Answer)]
            alerts += sum(reply is not None and reply.decision != "approve" for reply in replies)
            done += len(some)
            progress(done, len(rows))
        return alerts
    finally:
        recorder.close()


def _rows(path: Path, generation: Generation) -> list[dict[str, Any]]:
    schema = generation.schema
    numbers = {*schema.sent_numeric, *([schema.amount] if schema.amount else [])}
    frame = pl.read_csv(path, infer_schema_length=0).select(schema.inputs)
    return frame.with_columns(pl.col(name).cast(pl.Float64) for name in schema.inputs if name in numbers).to_dicts()


def _arrivals(rows: list[dict[str, Any]], generation: Generation) -> Iterator[Arrival]:
    for row in rows:
        read = generation.requests.one(json.dumps(row).encode())
        yield generation.encoder.row(read, ScoreOptions(_REASONS))
