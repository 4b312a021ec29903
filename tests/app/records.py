"""A recorder without a server: the payments of :mod:`tests.app.traffic` recorded one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from app.pseudonyms import Pseudonyms
from app.recording.answers import Answer
from app.recording.engine import Engine
from app.recording.recorder import Recorder
from app.recording.steps import Steps
from app.refusals import Refusal
from app.requests.arrival import Arrival, ScoreOptions
from app.requests.encoder import Encoder
from app.requests.model import RequestModel
from app.settings import Settings
from models.scorer import Scorer
from tests.app.traffic import Payments, bodies

#: What a caller is told: the reply as JSON, or why there is none.
Told = bytes | Refusal


def told(answers: Sequence[Answer | Refusal]) -> list[Told]:
    """Answers as callers see them."""
    return [answer.content if isinstance(answer, Answer) else answer for answer in answers]


class Till:
    """Takes payments as JSON and records them.

    Attributes:
        recorder: what does it.
    """

    def __init__(self, scorer: Scorer, url: str, steps: Steps | None = None, **settings: Any) -> None:
        given = Settings(database_url=url, **settings)
        pseudonyms = Pseudonyms.open(given, scorer.schema)
        self._requests = RequestModel(scorer.schema, 1_000)
        self._encoder = Encoder(scorer.schema, scorer.vocabulary, pseudonyms)
        self.engine = Engine(scorer, given.future_tolerance_seconds)
        self.recorder = Recorder.open(given, scorer, pseudonyms, steps=steps)

    def arrivals(self, *sent: bytes, reasons: int = 0) -> list[Arrival]:
        """Transactions as they arrive."""
        return [self._encoder.row(self._requests.one(one), ScoreOptions(reasons)) for one in sent]

    def send(self, *sent: bytes, reasons: int = 0) -> list[Told]:
        """Record transactions in one transaction of the store."""
        return told(self.recorder.answer(self.engine, self.arrivals(*sent, reasons=reasons)))

    def send_unlogged(self, *sent: bytes, reasons: int = 0) -> list[Told]:
        """Score transactions while the store fails."""
        return told(self.recorder.answer_unlogged(self.engine, self.arrivals(*sent, reasons=reasons)))

    def reply(self, sent: bytes, reasons: int = 0) -> dict[str, Any]:
        """Record one transaction that is accepted."""
        (answer,) = self.send(sent, reasons=reasons)
        assert isinstance(answer, bytes), answer
        reply: dict[str, Any] = json.loads(answer)
        return reply

    def refusal(self, sent: bytes) -> Refusal:
        """Record one transaction that is refused."""
        (answer,) = self.send(sent)
        assert isinstance(answer, Refusal)
        return answer


@contextmanager
def till(payments: Payments, url: str, steps: Steps | None = None, **settings: Any) -> Iterator[Till]:
    """A till, closed at the end."""
    opened = Till(payments.scorer, url, steps, **settings)
    try:
        yield opened
    finally:
        opened.recorder.close()


def sent(payments: Payments, rows: int) -> list[bytes]:
    """The first payments after the training, as JSON."""
    return bodies(payments.frame.head(rows), payments.schema)


def changed(body: bytes, **changes: Any) -> bytes:
    """The same transaction with other values."""
    return json.dumps({**json.loads(body), **changes}).encode()


def replies(answers: Sequence[Told]) -> list[bytes]:
    """Answers of which none is a refusal."""
    assert not [answer for answer in answers if isinstance(answer, Refusal)]
    return [answer for answer in answers if isinstance(answer, bytes)]


def as_in_a_file(scores: Sequence[float]) -> Any:
    """Equal to what ``counterfoil score`` writes for the rows of these scores: in another way, so that they agree to
    1e-8."""
    return pytest.approx(scores, rel=0, abs=1e-8)
