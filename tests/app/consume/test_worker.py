"""The loop beside a broker in memory: what it acknowledges, what it waits for, when it stops."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from app.consume.broker import Message, Reason, Settled, Unavailable
from app.consume.progress import Progress
from app.consume.scoring import Scoring
from app.consume.worker import Stop, Worker
from models.errors import CounterfoilError
from tests.app.consume.test_scoring import Service, service

__all__ = ["service"]


class Memory:
    """A broker; ``trouble`` is called before whatever is asked of it."""

    def __init__(self, *values: Any, trouble: Callable[[str], None] = lambda asked: None) -> None:
        self._left = [
            Message(json.dumps(value).encode(), None, {"entry": str(place)}, place)
            for place, value in enumerate(values)
        ]
        self._trouble = trouble
        self.settled: list[Settled] = []

    def read(self, most: int) -> Sequence[Message]:
        self._trouble("read")
        found, self._left = self._left[:most], self._left[most:]
        return found

    def keep(self) -> None:
        self._trouble("keep")

    def settle(self, settled: Sequence[Settled]) -> None:
        self._trouble("settle")
        self.settled += settled

    def lag(self) -> int | None:
        return len(self._left)

    def close(self) -> None:
        """Nothing."""


def work(broker: Memory, service: Service, *, most: int = 2, refused_in_a_row: int = 3) -> Progress:
    with Stop() as stop:
        worker = Worker(broker, most, refused_in_a_row, stop)
        scoring = Scoring(service.url, None, None, worker.wait)
        progress = Progress(broker.lag, lambda: scoring.waited)
        try:
            worker.run(scoring, progress, once=True)
        finally:
            scoring.close()
    return progress


def test_everything_is_settled_in_order(service: Service) -> None:
    broker = Memory({"id": "a"}, {"bad": 1}, {"bad": 2}, {"id": "b"}, {"bad": 3})
    progress = work(broker, service)
    assert [one.message.token for one in broker.settled] == [0, 1, 2, 3, 4]
    assert [isinstance(one.outcome, Reason) for one in broker.settled] == [False, True, True, False, True]
    assert (progress.scored, progress.refused) == (2, 3)


def test_refusals_in_a_row_stop_it_before_they_are_put_aside(service: Service) -> None:
    broker = Memory({"id": "a"}, {"bad": 1}, {"bad": 2}, {"bad": 3})
    with pytest.raises(CounterfoilError, match=r"3 messages in a row were refused.*invalid-transaction: bad: unknown"):
        work(broker, service)
    assert [one.message.token for one in broker.settled] == [0, 1]
    assert work(Memory({"bad": 1}, {"bad": 2}, {"bad": 3}), service, refused_in_a_row=0).refused == 3


def test_a_broker_that_is_away_is_asked_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.consume.worker._AGAIN", 0.001)
    times = {"read": 2, "settle": 2}

    def trouble(asked: str) -> None:
        if times.get(asked):
            times[asked] -= 1
            raise Unavailable("gone")

    broker = Memory({"id": "a"}, trouble=trouble)
    work(broker, service)
    assert len(broker.settled) == 1 and not any(times.values())


def test_a_signal_while_the_service_is_away_ends_it_with_nothing_acknowledged(service: Service) -> None:
    service.script = [(503, {"Retry-After": "60"}, {})] * 9

    def trouble(asked: str) -> None:
        if asked == "keep":
            os.kill(os.getpid(), signal.SIGTERM)

    broker = Memory({"id": "a"}, trouble=trouble)
    work(broker, service)
    assert not broker.settled


def test_a_signal_lets_what_is_in_hand_be_settled(service: Service) -> None:
    def trouble(asked: str) -> None:
        if asked == "settle":
            os.kill(os.getpid(), signal.SIGTERM)

    broker = Memory({"id": "a"}, {"id": "b"}, {"id": "c"}, trouble=trouble)
    work(broker, service)
    assert [one.message.token for one in broker.settled] == [0, 1]
