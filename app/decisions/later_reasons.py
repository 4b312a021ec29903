"""Reasons of a recorded decision that nobody asked for when it was made."""

from __future__ import annotations

from app.store.records import Decision
from models.reasons import Reason
from models.registry import Registry
from models.rows import Batch
from models.scorer import Scorer


def later_reasons(decision: Decision, registry: Registry, top: int) -> list[Reason]:
    """The reasons that would have been answered with ``?reasons=top``, from the recorded features alone.

    Raises:
        ModelNotFound: the version that scored is gone.
        InvalidBundle: it is damaged.
    """
    scorer = Scorer.load(registry.folder(decision.model_version))
    batch = Batch.from_bytes(decision.features, len(scorer.schema.numeric))
    return scorer.reasons(batch, scorer.score(batch, explain=True), 0, top)
