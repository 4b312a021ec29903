"""POST /v1/feedback: what became known of a transaction, read from a body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from app.problems import Refused
from app.refusals import FieldProblem
from app.requests.fields import choice_type, field_type
from app.requests.strict_object import StrictObject
from app.store.records import Label
from models.schema import IdColumn, TimestampColumn, TransactionSchema

LABELS: tuple[Label, ...] = get_args(Label)
_KNOWN_AT = "When it became known; default now, or as recorded where the latest label is the same"


@dataclass(frozen=True, slots=True)
class Feedback:
    """A label for one transaction; ``known_at`` in microseconds since 1970 UTC, None where it was not said."""

    transaction_id: str
    label: Label
    known_at: int | None


class FeedbackReply(BaseModel):
    """The label is recorded."""

    model_config = ConfigDict(frozen=True)

    transaction_id: str
    label: Annotated[Label, Field(description="fraud, legitimate, or disputed: not settled yet, counts as unknown")]
    known_at: Annotated[str, Field(description="When it became known: ISO 8601, UTC")]


class FeedbackModel:
    """Reads the labels of one schema's transactions.

    Args:
        schema: its id column says what an id may be.
    """

    def __init__(self, schema: TransactionSchema) -> None:
        own = schema.columns.get(schema.id or "")
        fields = {
            "transaction_id": field_type(own if isinstance(own, IdColumn) else IdColumn()),
            "label": choice_type(*LABELS),
            "known_at": field_type(TimestampColumn()),
        }
        self._reader = StrictObject("invalid-label", fields, optional=("known_at",))
        self._has_id = schema.id is not None

    def read(self, body: bytes, latest: int) -> Feedback:
        """The label in a body.

        Args:
            latest: that it may have become known, microseconds since 1970 UTC.

        Raises:
            Refused: not JSON, not a label, or one from the future.
        """
        if not self._has_id:
            raise Refused("not-found", "this model's transactions have no id, so none can be labelled")
        row = self._reader.read(body)
        known_at = row.get("known_at")
        if known_at is not None and known_at > latest:
            problem = FieldProblem(field="known_at", message="in the future")
            raise Refused("invalid-label", "the label cannot be right", [problem])
        return Feedback(row["transaction_id"], row["label"], known_at)


def json_schema(transaction_id: dict[str, Any]) -> dict[str, Any]:
    """The body as JSON Schema, for the OpenAPI page.

    Args:
        transaction_id: schema of the id.
    """
    return {
        "type": "object",
        "properties": {
            "transaction_id": transaction_id,
            "label": {"type": "string", "enum": list(LABELS)},
            "known_at": {"type": "string", "format": "date-time", "description": _KNOWN_AT},
        },
        "required": ["transaction_id", "label"],
        "additionalProperties": False,
    }
