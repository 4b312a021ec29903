"""A recorder without a server: the payments of :mod:`tests.app.traffic` recorded one after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from app.problems import Refused
from app.pseudonyms import Pseudonyms
from app.recording.recorder import Answer, Recorder
from app.requests.bodies import Wanted
from app.requests.model import RequestModel
from app.settings import Settings
from models.scorer import Scorer
from tests.app.traffic import Payments, bodies


class Till:
    """Takes payments as JSON and records them.

    Attributes:
        recorder: what does it.
    """

    def __init__(self, scorer: Scorer, url: str, **settings: Any) -> None:
        given = Settings(database_url=url, **settings)
        pseudonyms = Pseudonyms.open(given, scorer.schema)
        self._requests = RequestModel(scorer.schema, scorer.vocabulary, 1_000, pseudonyms)
        self.recorder = Recorder.open(given, scorer, self._requests)

    def send(self, *sent: bytes, reasons: int = 0) -> list[Answer]:
        """Record transactions in one transaction of the store."""
        rows = [self._requests.one(one) for one in sent]
        return self.recorder.answer([self._requests.asked(row, Wanted(reasons)) for row in rows])

    def reply(self, sent: bytes, reasons: int = 0) -> dict[str, Any]:
        """Record one transaction that is accepted."""
        (answer,) = self.send(sent, reasons=reasons)
        assert isinstance(answer, bytes), answer
        reply: dict[str, Any] = json.loads(answer)
        return reply

    def refusal(self, sent: bytes) -> Refused:
        """Record one transaction that is refused."""
        (answer,) = self.send(sent)
        assert isinstance(answer, Refused)
        return answer


@contextmanager
def till(payments: Payments, url: str, **settings: Any) -> Iterator[Till]:
    """A till, closed at the end."""
    opened = Till(payments.scorer, url, **settings)
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


def replies(answers: Sequence[Answer]) -> list[bytes]:
    """Answers of which none is a refusal."""
    assert not [answer for answer in answers if isinstance(answer, Refused)]
    return [answer for answer in answers if isinstance(answer, bytes)]
