"""Transactions as arrivals, under one model version: numbers, codes, events, names, and the body that is kept.

Every way in ends here. Ids that are stored as pseudonyms are replaced on the way, and what must not stand beside a
pseudonym is refused.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import replace

import polars as pl
from pydantic_core import from_json, to_json

from app.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from app.refusals import Refusal
from app.requests.arrival import Arrival, ScoreOptions
from app.requests.idempotency import Key
from app.requests.strict_object import Row
from app.store.records import Decision, Name
from models.behaviour.events import Behaviour, Event
from models.rows import ParsedRows, Vocabulary
from models.schema import CurrencyColumn, TransactionSchema


class Encoder:
    """Immutable; belongs to one model version.

    Args:
        schema: the columns.
        vocabulary: the categorical values training knew.
        pseudonyms: ids that are stored as something else.
    """

    def __init__(
        self, schema: TransactionSchema, vocabulary: Vocabulary, pseudonyms: Pseudonyms = NO_PSEUDONYMS
    ) -> None:
        self._schema = schema
        self._vocabulary = vocabulary
        self._pseudonyms, self._hides = pseudonyms, bool(pseudonyms.fingerprint)
        self._behaviour = Behaviour(schema)
        self._inputs, self._numeric = tuple(schema.inputs), tuple(schema.sent_numeric)
        self._id, self._timestamp = schema.id, schema.timestamp
        known = zip(schema.categorical, vocabulary.values, strict=True)
        self._codes = [(name, {value: code for code, value in enumerate(values, 1)}) for name, values in known]
        self._currencies = {
            name: column.code for name, column in schema.columns.items() if isinstance(column, CurrencyColumn)
        }

    def row(
        self, row: Row, options: ScoreOptions, caller: str | None = None, key: Key | None = None, place: int = 0
    ) -> Arrival:
        """A transaction that the request model has validated, and that arrives now.

        Args:
            key: the Idempotency-Key it came with; ``place``: its position in the batch, from 0.

        Raises:
            Refusal: a value must not be kept.
        """
        if self._hides:
            row = self._pseudonyms.of_row(row)
        digest = None if key is None else key.digest(caller, place)
        body = self._body(row)
        if b"-0.0" in body:  # a zero has no sign: -0.0 and 0 are one amount
            row = {**row, **{name: row[name] + 0.0 for name in self._numeric}}
            body = self._body(row)
        return self._arrival(row, body, options, digest, caller)

    def logged(self, decision: Decision, options: ScoreOptions) -> Arrival:
        """A transaction of the log, as it arrived; what its body lacks, of a later schema, is missing."""
        sent = dict.fromkeys(self._inputs) | from_json(decision.body)
        sent |= {name: math.nan for name in self._numeric if sent[name] is None}
        sent |= {name: "" for name in self._schema.entities if sent[name] is None}
        if self._timestamp is not None:
            sent[self._timestamp] = decision.time
        return self._arrival(sent, decision.body.encode(), options, decision.idempotency_digest, decision.caller)

    def rows(self, parsed: ParsedRows, options: ScoreOptions) -> list[Arrival | Refusal]:
        """The good rows of a table, which arrive now, in the order they have."""
        if not len(parsed.time):
            return []
        texts = {**dict(zip(self._schema.categorical, parsed.text, strict=True)), **parsed.entity}
        if self._id is not None and parsed.id is not None:
            texts[self._id] = parsed.id
        refused = self._pseudonyms.refused({name: texts[name] for name in self._inputs if name in texts})
        stored = self._pseudonyms.rows(replace(parsed, numeric=parsed.numeric + 0.0))  # a zero has no sign
        texts |= stored.entity
        numbers, codes = stored.numeric.tolist(), stored.batch(self._vocabulary).categorical.tolist()
        times, bodies = stored.time.tolist(), self._bodies(stored, texts)
        events = self._events(stored)
        names: list[str | None] = [None] * len(times) if parsed.id is None else parsed.id.to_list()
        at, arrived = time.time_ns() // 1_000, time.perf_counter()
        return [
            refused.get(i)
            or Arrival(
                numeric=numbers[i],
                categorical=codes[i],
                time=times[i],
                events=events[i],
                body=bodies[i],
                digest=hashlib.sha256(bodies[i].encode()).digest(),
                transaction_id=name,
                idempotency_digest=None,
                names=() if name is None else (name,),
                options=options,
                caller=None,
                arrived_at=at,
                arrived=arrived,
            )
            for i, name in enumerate(names)
        ]

    def _arrival(
        self, row: Row, body: bytes, options: ScoreOptions, idempotency_digest: bytes | None, caller: str | None
    ) -> Arrival:
        transaction_id: str | None = None if self._id is None else row[self._id]
        names: tuple[Name, ...] = () if transaction_id is None else (transaction_id,)
        return Arrival(
            numeric=[row[name] for name in self._numeric],
            categorical=[known.get(row[name] or "", 0) for name, known in self._codes],
            time=0 if self._timestamp is None else row[self._timestamp],
            events=self._behaviour.of_row(row),
            body=body.decode(),
            digest=hashlib.sha256(body).digest(),
            transaction_id=transaction_id,
            idempotency_digest=idempotency_digest,
            names=names if idempotency_digest is None else (*names, idempotency_digest),
            options=options,
            caller=caller,
            arrived_at=time.time_ns() // 1_000,
            arrived=time.perf_counter(),
        )

    def _body(self, row: Row) -> bytes:
        return to_json({name: row[name] for name in self._inputs}, inf_nan_mode="null")

    def _bodies(self, rows: ParsedRows, texts: dict[str, pl.Series]) -> list[str]:
        """What :meth:`_body` makes of each row, column by column."""
        numbers = dict(zip(self._numeric, rows.numeric.T, strict=True))
        columns: list[Sequence[str]] = []
        for name in self._inputs:
            if name in numbers:
                values = to_json(numbers[name].tolist(), inf_nan_mode="null").decode()[1:-1].split(",")
            elif name == self._timestamp:
                values = [str(micros) for micros in rows.time.tolist()]
            elif name in self._currencies:
                values = [_json(self._currencies[name])] * len(rows.time)
            else:
                values = [_json(value or None) for value in texts[name].to_list()]
            columns.append([f"{_json(name)}:{value}" for value in values])
        return ["{" + ",".join(cells) + "}" for cells in zip(*columns, strict=True)]

    def _events(self, rows: ParsedRows) -> list[list[Event]]:
        """What :meth:`models.behaviour.events.Behaviour.of_row` makes of each row."""
        found: list[list[Event]] = [[] for _ in range(len(rows.time))]
        if not self._behaviour:
            return found
        for entity in self._behaviour.of_columns(rows.time, rows.numeric, rows.text, rows.entity):
            keys = [(entity.name, digest) for digest in entity.digests]
            for mine, group, event in zip(found, entity.group.tolist(), entity.events, strict=True):
                mine.append((keys[group], event))
        return found


def _json(value: str | None) -> str:
    return to_json(value).decode()
