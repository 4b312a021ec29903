"""Reasons of a recorded decision that nobody asked for when it was made."""

from __future__ import annotations

from app.store.records import Decision
from models.reasons import Reason
from models.registry import Registry
from models.rows import Batch
from models.scorer import Scorer


def later_reasons(decision: Decision, registry: Registry, top: int, serving: Scorer | None = None) -> list[Reason]:
    """The reasons that would have been answered with ``?reasons=top``, from the recorded features alone.

    Args:
        serving: asked where it is the version that scored, instead of loading that again.

    Raises:
        ModelNotFound: the version that scored is gone.
        InvalidBundle: it is damaged.
    """
    version = decision.model_version
    scorer = serving if serving and serving.manifest.version == version else Scorer.load(registry.folder(version))
    batch = Batch.from_bytes(decision.features, len(scorer.schema.numeric))
    return scorer.reasons(batch, scorer.score(batch, explain=True), 0, top)
