"""Something to look at: payments of a file scored and recorded, the first ones decided, the others as if just sent.

Without labels the console has little to show: no verdicts, no similar payments, no fraud found or missed. The file says
which payments are fraud; a desk of its own decides by that what the first days alerted, and card holders complain of
the fraud that raised no alert.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from app.console.roles import Person
from app.console.work import Wish, Work
from app.generation import Generation
from app.recording.answers import Answer
from app.recording.recorder import Recorder
from app.requests.arrival import Arrival, ScoreOptions
from app.settings import Settings
from models.errors import InvalidInput
from models.scorer import Scorer

_REASONS = 3
#: Payments recorded at once: while there are verdicts in between, and after that.
_STEP, _AT_ONCE = 32, 128
#: Share of the payments, the first ones, whose alerts are decided: after each step, so within an hour or so.
_DECIDED = 0.6
#: Who decides them; who tells of fraud that raised no alert.
_DESK, _HOLDERS = "demo", "card holders"


@dataclass(frozen=True, slots=True)
class Demo:
    """What was recorded: alerts that wait in the queue, and that were decided."""

    waiting: int
    decided: int


def record_demo(settings: Settings, scorer: Scorer, path: Path, progress: Callable[[int, int], None]) -> Demo:
    """Score the payments of a CSV, in its order, into an empty store.

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
        rows, fraud = _rows(path, generation)
        early = round(_DECIDED * len(rows))
        arrivals = _arrivals(rows, generation, early)

        def record(start: int, end: int, step: int, then: Callable[[int], None]) -> list[str]:
            """Ids of the alerts; ``then``: called with the time after each step."""
            found: list[str] = []
            for place in range(start, end, step):
                some = arrivals[place : min(place + step, end)]
                found += _alerts(some, recorder.answer(generation.engine, some), path)
                then(some[-1].arrived_at)
                progress(place + len(some), len(rows))
            return found

        decided = record(0, early, _STEP, lambda now: _decide(recorder, fraud, now))
        _complain(recorder, [one for one in arrivals[:early] if one.transaction_id in fraud - set(decided)])
        waiting = record(early, len(rows), _AT_ONCE, lambda _: None)
        return Demo(len(waiting), len(decided))
    finally:
        recorder.close()


def _rows(path: Path, generation: Generation) -> tuple[list[dict[str, Any]], set[str]]:
    """The payments as they would be sent, and the ids of those that are fraud, where the file says so."""
    schema = generation.schema
    numbers = {*schema.sent_numeric, *([schema.amount] if schema.amount else [])}
    frame = pl.read_csv(path, infer_schema_length=0)
    fraud: set[str] = set()
    if schema.id is not None and schema.label in frame.columns:
        fraud = set(frame.filter(pl.col(schema.label) == "1")[schema.id])
    sent = frame.select(schema.inputs)
    return sent.with_columns(
        pl.col(name).cast(pl.Float64) for name in schema.inputs if name in numbers
    ).to_dicts(), fraud


def _arrivals(rows: Sequence[dict[str, Any]], generation: Generation, early: int) -> list[Arrival]:
    """Encoded; the ``early`` ones arrived as long ago as they were paid before the others, which arrive now."""
    found = []
    for row in rows:
        read = generation.requests.one(json.dumps(row).encode())
        found.append(generation.encoder.row(read, ScoreOptions(_REASONS)))
    now = time.time_ns() // 1_000
    end = found[early].time if early < len(found) else 0
    return [replace(one, arrived_at=min(now, now - end + one.time)) for one in found]


def _alerts(arrivals: Sequence[Arrival], answers: Sequence[object], path: Path) -> list[str]:
    """The ids of those that alerted."""
    found = []
    for arrival, answer in zip(arrivals, answers, strict=True):
        if not isinstance(answer, Answer):
            raise InvalidInput(f"{path}: a payment was refused; make the file with 'counterfoil simulate'")
        if answer.reply is not None and answer.reply.decision != "approve":
            found.append(arrival.transaction_id or "")
    return found


def _decide(recorder: Recorder, fraud: Set[str], now: int) -> None:
    """Decide all that waits as the file has it: a case is fraud where one of its alerts is, and legitimate else."""
    desk = recorder.store.desk()
    if desk is None:
        return
    work = Work(recorder, desk, Person(_DESK, "analyst"), now)
    while (case := work.take_next("open")) is not None:
        ids = work.ids_of(case.id)
        guilty = [name for name in ids if name in fraud]
        work.decide(case.id, Wish("fraud" if guilty else "legitimate", ids=guilty or ids))


def _complain(recorder: Recorder, missed: Sequence[Arrival]) -> None:
    """Label fraud that raised no alert."""
    for one in missed:
        assert one.transaction_id is not None  # by which the file's fraud is known
        recorder.label(one.transaction_id, "fraud", None, time.time_ns() // 1_000, _HOLDERS)
