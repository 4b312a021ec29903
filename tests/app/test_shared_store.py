"""Two workers on one PostgreSQL record what one process would, also while they are killed.

python -m pytest tests/app/test_shared_store.py                            # 2 kills
python -m pytest -p tests.long --long -s tests/app/test_shared_store.py    # 40 kills; ten minutes
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic_core import from_json

from tests import servers
from tests.app.offline import Logged, read_log
from tests.app.records import replies, sent, till
from tests.app.test_crash import Load
from tests.app.test_workers import post, serving, workers
from tests.app.traffic import Payments, Server
from tests.waiting import until

#: Sent one after the other, each over a connection of its own.
FIRST = 80


class Workers(Server):
    """What clients need of a server: the port that all workers answer on."""

    def __init__(self, port: int) -> None:
        self.port = port

    def wait(self) -> int:
        """See the class that this takes the place of."""
        return self.port


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    first: list[dict[str, Any]]
    load: Load
    log: Logged


def kill(pid: int) -> None:
    """Kill a process and wait for its end."""
    os.kill(pid, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{pid}").exists(), "its end")


@pytest.fixture(scope="module")
def outcome(payments: Payments, request: pytest.FixtureRequest) -> Outcome:
    """Payments one by one, then from several clients while workers are killed; and the log."""
    kills = 40 if request.config.getoption("--long", default=False) else 2
    random = np.random.default_rng(5)
    with servers.postgresql() as url:
        with serving(payments, url) as (port, process):
            first = [post(port, row, "/v1/score?reasons=1") for row in sent(payments, FIRST)]
            load = Load(payments, Workers(port))
            for _ in range(kills):
                load.answered(int(random.integers(1, 60)))
                kill(until(lambda: workers(process.pid), "a worker")[0])
            load.answered(1)
            load.stop()
        return Outcome(first, load, read_log(payments, url))


def test_what_comes_one_by_one_is_answered_as_by_one_process(
    outcome: Outcome, payments: Payments, tmp_path: Path
) -> None:
    with till(payments, f"sqlite:///{tmp_path / 'alone.db'}") as alone:
        expected = [reply for row in sent(payments, FIRST) for reply in replies(alone.send(row, reasons=1))]
    assert outcome.first == [from_json(reply) for reply in expected]


def test_every_answer_is_recorded_once(outcome: Outcome) -> None:
    recorded = {one.transaction_id: one.reply for one in outcome.log.decisions}
    assert len(recorded) == len(outcome.log.decisions)
    known = outcome.load.known
    assert known.answered
    assert all(recorded[outcome.load.ids[row]] == reply for row, reply in known.answered.items())
    last = {label.transaction_id: label.label for label in outcome.log.labels}
    assert {outcome.load.ids[row]: label for row, label in known.labelled.items()} == last


def test_features_and_states_are_those_of_the_offline_path(outcome: Outcome) -> None:
    print(f"\nshared: {len(outcome.log.decisions):,} rows recorded, {outcome.log.offline.differing} features differ")
    assert outcome.log.offline.differing == 0
    assert outcome.log.same_states
