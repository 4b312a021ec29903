"""Recorded decisions as they are told: one line of a page, and one whole."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import from_json

from app.rules.replies import told
from app.store.query import Recorded
from app.store.records import Decision, Label
from models.manifest import Manifest
from models.reasons import Reason, cycle_text
from models.rows import Batch
from models.schema import TimestampColumn, TransactionSchema
from models.times import iso_text


@dataclass(slots=True, kw_only=True)
class DecisionLine:
    """A recorded decision in short."""

    transaction_id: Annotated[str | None, Field(description="As sent; null where the schema has no id")]
    seq: Annotated[int, Field(description="Place in the order of arrival")]
    arrived_at: Annotated[str, Field(description="ISO 8601, UTC")]
    time: Annotated[
        str | float | None,
        Field(description="Of the transaction: ISO 8601, UTC; seconds where the schema knows no calendar"),
    ]
    score: float
    threshold: float
    is_anomaly: bool
    decision: Annotated[str, Field(description="approve, review or decline, as answered")]
    model_decision: Annotated[str, Field(description="What the score alone says")]
    rules: Annotated[
        list[str], Field(description="What had a say beside it: lists as LIST:COLUMN, then rules by their names")
    ]
    rules_version: Annotated[
        str | None, Field(description="Of rules and lists, as answered; null where there were none")
    ]
    reconstruction_error: float
    model_version: Annotated[str, Field(description="The version that scored")]
    caller: Annotated[str | None, Field(description="Who asked; null without API keys")]
    latency_ms: Annotated[float, Field(description="From arrival until the answer was ready to be written")]
    label: Annotated[Label | None, Field(description="The latest; null while nothing is known")]
    label_known_at: Annotated[str | None, Field(description="ISO 8601, UTC")]
    transaction: Annotated[
        dict[str, Any], Field(description="As read: times in UTC, amounts as numbers, ids as they are kept")
    ]


@dataclass(slots=True)
class DecisionPage:
    """Some decisions, newest first."""

    decisions: list[DecisionLine]
    next: Annotated[
        str | None,
        Field(description="The cursor of the page after this one, which may hold few; null where there is no more"),
    ]


@dataclass(slots=True)
class LabelReply:
    """What became known, and when it was said."""

    label: Label
    known_at: str
    arrived_at: str
    caller: str | None


@dataclass(slots=True, kw_only=True)
class DecisionReply(DecisionLine):
    """A recorded decision whole."""

    features: Annotated[
        dict[str, float | str | None] | None,
        Field(
            description="What the detector was given, behaviour features included; null for a missing number or a "
            "category that training did not know. Null as a whole where the model version is gone"
        ),
    ]
    reasons: Annotated[list[Reason], Field(description="As answered, or as asked for with ?reasons=N")]
    approximate: Annotated[bool, Field(description="As answered")]
    labels: Annotated[list[LabelReply], Field(description="Oldest first; the last counts")]


def line(recorded: Recorded, schema: TransactionSchema) -> DecisionLine:
    """A decision in short.

    Args:
        schema: says what the transaction's time means.
    """
    decision, last = recorded.decision, recorded.labels[-1] if recorded.labels else None
    ruling = told(decision)
    return DecisionLine(
        transaction_id=decision.transaction_id,
        seq=decision.seq,
        arrived_at=iso_text(decision.arrived_at),
        time=_time(decision.time, schema),
        score=decision.score,
        threshold=decision.threshold,
        is_anomaly=decision.score >= decision.threshold,
        decision=decision.decision,
        model_decision=ruling.model_decision,
        rules=list(ruling.rules),
        rules_version=ruling.version,
        reconstruction_error=decision.error,
        model_version=decision.model_version,
        caller=decision.caller,
        latency_ms=decision.latency_us / 1_000,
        label=last.label if last else None,
        label_known_at=iso_text(last.known_at) if last else None,
        transaction=transaction(decision, schema),
    )


def whole(recorded: Recorded, schema: TransactionSchema, manifest: Manifest | None) -> DecisionReply:
    """All that is told of a decision.

    Args:
        manifest: of the version that scored; None where it is gone.
    """
    decision = recorded.decision
    own = manifest.transaction_schema if manifest else schema
    answered = from_json(decision.reply)
    return DecisionReply(
        **as_fields(line(recorded, own)),
        features=_features(decision, manifest) if manifest else None,
        reasons=answered["reasons"],
        approximate=answered["approximate"],
        labels=[
            LabelReply(label.label, iso_text(label.known_at), iso_text(label.arrived_at), label.caller)
            for label in recorded.labels
        ],
    )


def as_fields(one: DecisionLine) -> dict[str, Any]:
    """Value by name of the field, in order; values are not copied."""
    return {field.name: getattr(one, field.name) for field in fields(DecisionLine)}


def transaction(decision: Decision, schema: TransactionSchema) -> dict[str, Any]:
    """The transaction as it was read, its times in ISO 8601."""
    sent: dict[str, Any] = from_json(decision.body)
    for name, column in schema.columns.items():
        if isinstance(column, TimestampColumn) and isinstance(sent.get(name), int):  # else another schema's
            sent[name] = _time(sent[name], schema)
    return sent


def _time(micros: int, schema: TransactionSchema) -> str | float | None:
    if schema.timestamp is None:
        return None
    return micros / 1e6 if schema.elapsed else iso_text(micros)


def _features(decision: Decision, manifest: Manifest) -> dict[str, float | str | None]:
    schema = manifest.transaction_schema
    batch = Batch.from_bytes(decision.features, len(schema.numeric))
    numbers = dict(zip(schema.numeric, batch.numeric[0].tolist(), strict=True))
    codes = zip(schema.categorical, batch.categorical[0].tolist(), manifest.vocabulary, strict=True)
    texts = {name: values[code - 1] if code else None for name, code, values in codes}
    names = schema.features[len(schema.numeric) + len(schema.categorical) :]
    cycles = {name: cycle_text(cycle, decision.time) for name, cycle in zip(names, schema.cycles, strict=True)}
    return {**{name: None if math.isnan(value) else value for name, value in numbers.items()}, **texts, **cycles}
