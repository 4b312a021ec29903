"""One model version as it serves: the scorer and all that is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.pseudonyms import Pseudonyms, keyed_scorer
from app.recording.engine import Engine
from app.requests.encoder import Encoder
from app.requests.example import example_transaction
from app.requests.feedback import FeedbackModel
from app.requests.model import RequestModel
from app.requests.sameness import FormerReader
from app.settings import Settings
from models.schema import TransactionSchema
from models.scorer import Scorer


@dataclass(frozen=True, slots=True)
class Generation:
    """Immutable, and replaced as one: a request stays with the generation that it began with.

    Attributes:
        schema: of the transactions.
        pseudonyms: ids that are stored as something else.
        requests, feedback: read the bodies.
        former: reads bodies that were transactions under another version's schema.
        encoder: makes arrivals of what they read.
        engine: decides them; its behaviour plan is what states in the store must belong to.
        example: a transaction to try.
    """

    scorer: Scorer
    schema: TransactionSchema
    pseudonyms: Pseudonyms
    requests: RequestModel
    feedback: FeedbackModel
    former: FormerReader
    encoder: Encoder
    engine: Engine
    example: dict[str, Any]

    @staticmethod
    def of(settings: Settings, scorer: Scorer) -> Generation:
        """All that is made from a loaded, verified version.

        Raises:
            InvalidInput: the settings of pseudonyms are wrong, or name another secret than the model was trained with.
        """
        scorer = keyed_scorer(scorer, settings)
        schema, vocabulary = scorer.schema, scorer.vocabulary
        pseudonyms = Pseudonyms.open(settings, schema)
        return Generation(
            scorer,
            schema,
            pseudonyms,
            RequestModel(schema, settings.max_batch),
            FeedbackModel(schema),
            FormerReader(schema, pseudonyms),
            Encoder(schema, vocabulary, pseudonyms),
            Engine(scorer, settings.future_tolerance_seconds),
            example_transaction(schema, vocabulary, scorer.bundle.golden),
        )
