"""What the service answers: the reply types, and the one function that turns a scored row into a reply."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.problems import Problem
from models.manifest import Architecture, Manifest, Metrics, TrainingRecord
from models.reasons import Reason
from models.schema import TransactionSchema
from models.thresholds import Decision, Threshold


@dataclass(slots=True)
class ScoreReply:
    """The score of one transaction."""

    transaction_id: Annotated[str | None, Field(description="As sent; null where the schema has no id")]
    score: Annotated[
        float,
        Field(
            description="In [0, 1): share of legitimate traffic that looks less unusual. Higher = more anomalous. "
            "Not a probability of fraud"
        ),
    ]
    threshold: Annotated[float, Field(description="Scores at or above it are anomalies")]
    is_anomaly: Annotated[bool, Field(description="score >= threshold")]
    decision: Annotated[
        Decision, Field(description="review at or above the threshold, decline at or above a second one, if any")
    ]
    reconstruction_error: Annotated[float, Field(description="What the score ranks; >= 0")]
    reasons: Annotated[
        list[Reason], Field(description="What the score comes from, the most telling first: one per cause")
    ]
    model_version: Annotated[str, Field(description="The version that scored")]
    approximate: Annotated[
        bool,
        Field(
            description="A behaviour feature's window held merged events: counts and sums are near, not exact; where "
            "logged is false, too: history that only the store holds is missing"
        ),
    ] = False
    logged: Annotated[
        bool,
        Field(
            description="Recorded, and counted from now on. False only while the store takes no writes, where the "
            "operator chose to go on scoring"
        ),
    ] = True


@dataclass(slots=True)
class RuledReply(ScoreReply):
    """The score of one transaction where lists or rules have a say."""

    model_decision: Annotated[
        Decision,
        Field(description="What the score alone says; ``decision`` is what becomes of it. There is none without lists"),
    ] = "approve"
    rules: Annotated[
        list[str],
        Field(description="What had a say: lists as LIST:COLUMN, then rules by their names"),
    ] = field(default_factory=list)
    rules_version: Annotated[
        str, Field(description="Of the rules, a point, and the number of the last change of the lists")
    ] = ""

    @staticmethod
    def of(reply: ScoreReply, decision: Decision, rules: list[str], version: str) -> RuledReply:
        """A reply, and what lists and rules make of it."""
        told: dict[str, Any] = {name.name: getattr(reply, name.name) for name in fields(reply)}
        told["decision"] = decision
        return RuledReply(**told, model_decision=reply.decision, rules=rules, rules_version=version)


@dataclass(slots=True)
class RowProblem:
    """In place of the score of a transaction that was refused."""

    error: Problem


@dataclass(slots=True)
class BatchReply:
    """The scores of a batch."""

    model_version: Annotated[str, Field(description="The version that scored")]
    results: Annotated[
        list[RuledReply | RowProblem], Field(description="One per transaction, in the order of the request")
    ]


class ModelReply(BaseModel):
    """The model version that serves."""

    model_config = ConfigDict(frozen=True)

    version: str
    created_at: str
    transaction_schema: TransactionSchema = Field(serialization_alias="schema")
    threshold: Threshold
    calibration_rows: int = Field(description="Legitimate transactions the score is ranked among")
    metrics: Metrics
    training: TrainingRecord
    architecture: Architecture
    libraries: dict[str, str]


class Health(BaseModel):
    """The process is alive."""

    status: Literal["alive"] = "alive"


@dataclass(frozen=True, slots=True)
class Succession:
    """An activated version that does not serve."""

    version: str
    state: Annotated[
        Literal["loading", "waiting", "refused"],
        Field(description="refused: it cannot take over, and the version that serves goes on"),
    ]
    why: Annotated[str, Field(description="What it waits for, or why it cannot take over")] = ""


class Ready(BaseModel):
    """A verified model is loaded."""

    status: Literal["ready"] = "ready"
    model_version: str
    logging: bool = Field(
        default=True,
        description="Whether what is scored is recorded; false only where the operator chose to go on without",
    )
    next: Succession | None = Field(
        default=None, description="Another version that was activated, until it serves; null where there is none"
    )


def model_reply(manifest: Manifest) -> ModelReply:
    """What is told of a version."""
    return ModelReply(
        version=manifest.version,
        created_at=manifest.created_at,
        transaction_schema=manifest.transaction_schema,
        threshold=manifest.threshold,
        calibration_rows=manifest.calibration.rows,
        metrics=manifest.metrics,
        training=manifest.training,
        architecture=manifest.architecture,
        libraries=manifest.libraries,
    )
