"""Killed at random moments under load, the service loses nothing it has answered and invents nothing.

python -m pytest tests/app/test_crash.py                            # 2 kills, and a restart
python -m pytest -p tests.long --long -s tests/app/test_crash.py    # 60 kills, then 100 restarts; a quarter of an hour
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from app.recording.rebuild import rebuild
from app.recording.startup import live_states
from app.store.open import open_store
from app.store.records import Decision
from tests.app.offline import Logged, read_log, same_states
from tests.app.traffic import Client, Payments, Server, batch_of, bodies, label_body, prepare, results_of
from tests.waiting import until
from training.simulate import SimulationConfig

CLIENTS = 4


@dataclass
class Ledger:
    """What the clients know: the answers they have, and what they sent without ever seeing an answer."""

    answered: dict[int, bytes] = field(default_factory=dict)
    unanswered: set[int] = field(default_factory=set)
    labelled: dict[int, str] = field(default_factory=dict)
    retried: int = 0


class Load:
    """Clients that send payments in their order until they are told to stop."""

    def __init__(self, payments: Payments, server: Server) -> None:
        self._bodies = bodies(payments.frame, payments.schema)
        self.ids: list[str] = payments.frame["transaction_id"].to_list()
        self._server = server
        self._rows: Iterator[int] = iter(range(len(self.ids)))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.errors: list[BaseException] = []
        self.known = Ledger()
        self._threads = [threading.Thread(target=self._work, args=(seed,)) for seed in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def answered(self, more: int) -> None:
        """Wait until so many more transactions have been answered, or all are sent."""
        aim = len(self.known.answered) + more
        until(lambda: len(self.known.answered) >= aim or not any(one.is_alive() for one in self._threads))

    def stop(self) -> None:
        """Let the clients finish what they are at."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def _work(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        client = Client(self._server)
        try:
            while not self._stop.is_set():
                size = int(random.choice([1, 1, 1, 3, 20, 150]))
                with self._lock:
                    rows = [row for row, _ in zip(self._rows, range(size), strict=False)]
                if not rows:
                    return
                self._score(client, rows, again=random.random() < 0.5)
                mine = rows[0]
                if mine in self.known.answered and random.random() < 0.1:
                    self._label(client, mine, str(random.choice(["fraud", "legitimate", "disputed"])))
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            self.errors.append(error)
        finally:
            client.close()

    def _score(self, client: Client, rows: list[int], *, again: bool) -> None:
        path, body = "/v1/score?reasons=1", self._bodies[rows[0]]
        if len(rows) > 1:
            path, body = "/v1/score/batch?reasons=0", batch_of([self._bodies[row] for row in rows])
        answer = client.once(path, body)
        if answer is None and again:
            self.known.retried += 1
            answer = client.post(path, body)
        if answer is None:
            with self._lock:
                self.known.unanswered.update(rows)
            return
        status, reply = answer
        assert status == 200, reply
        replies = results_of(reply) if len(rows) > 1 else [reply]
        with self._lock:
            self.known.answered |= dict(zip(rows, replies, strict=True))

    def _label(self, client: Client, row: int, label: str) -> None:
        status, reply = client.post("/v1/feedback", label_body(self.ids[row], label))
        assert status == 200, reply
        with self._lock:
            self.known.labelled[row] = label


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    load: Load
    log: Logged
    ends: int
    early: int
    starts: list[float]
    states_after_ends: list[bool]


@pytest.fixture(scope="module")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long forms are asked for."""
    return bool(request.config.getoption("--long", default=False))


@pytest.fixture(scope="module")
def outcome(long: bool, payments: Payments, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Load, kills, and at the end the log."""
    folder = tmp_path_factory.mktemp("crash")
    if long:
        days = SimulationConfig(days=60, cards=5_000, merchants=2_000, start=date(2026, 1, 1))
        payments = prepare(folder, days, 10)
    server = Server(payments.artifacts, folder / "counterfoil.db")
    server.start()
    random = np.random.default_rng(11)
    load = Load(payments, server)
    early = 0
    after_ends = []
    ends = [signal.SIGKILL] * 60 if long else [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL]
    for end in ends:
        load.answered(int(random.integers(1, 300 if long else 60)))
        server.end(end)
        after_ends.append(_recovered(payments, server))
        while not server.start(kill_after=float(random.uniform(0.1, 3)) if random.random() < 0.1 else None):
            early += 1
    load.answered(1)
    load.stop()
    server.end(signal.SIGTERM)
    return Outcome(load, read_log(payments, server.url), len(ends), early, server.starts, after_ends)


def _recovered(payments: Payments, server: Server) -> bool:
    """Whether what a start will make of saved states and the log is what the whole log makes."""
    store = open_store(server.url, read_only=True)
    origin = store.origin()
    assert origin is not None
    rebuilt = rebuild(store, payments.schema, origin)
    recovered = live_states(store, payments.schema)(sorted(rebuilt))
    store.close()
    return same_states(payments.schema, rebuilt, recovered)


def test_what_was_answered_is_recorded_once_as_answered(outcome: Outcome) -> None:
    known, ids = outcome.load.known, outcome.load.ids
    recorded = {one.transaction_id: one.reply for one in outcome.log.decisions}
    lost = [row for row, reply in known.answered.items() if recorded.get(ids[row]) != reply]
    whole = [row for row in known.unanswered if ids[row] in recorded]
    starts, offline = sorted(outcome.starts), outcome.log.offline
    print(
        f"\ncrash: {outcome.ends} ends and {outcome.early} during a start, {len(known.answered):,} acknowledged, "
        f"{len(lost)} lost, {known.retried} requests sent again, {len(known.unanswered)} transactions never "
        f"acknowledged, of them {len(whole)} recorded; {len(outcome.log.labels)} labels; {len(recorded):,} recorded, "
        f"{offline.differing} of {offline.features:,} features unlike the offline ones; states equal "
        f"after {sum(outcome.states_after_ends)} of {len(outcome.states_after_ends)} kills and at the end: "
        f"{outcome.log.same_states}; seconds until ready {starts[0]:.2f} to {starts[-1]:.2f}, median "
        f"{starts[len(starts) // 2]:.2f}"
    )
    assert len(recorded) == len(outcome.log.decisions)
    assert known.answered
    assert not lost


def test_what_was_not_answered_is_absent_or_whole(outcome: Outcome) -> None:
    known, ids = outcome.load.known, outcome.load.ids
    sent = {ids[row] for row in (*known.answered, *known.unanswered)}
    for one in outcome.log.decisions:
        assert one.transaction_id in sent
        reply = json.loads(one.reply)
        assert (reply["transaction_id"], reply["score"]) == (one.transaction_id, one.score)
        assert json.loads(one.body)["transaction_id"] == one.transaction_id
    assert outcome.log.offline.differing == 0
    assert outcome.log.offline.score <= 1e-6


def test_states_are_what_the_log_makes_them(outcome: Outcome) -> None:
    assert all(outcome.states_after_ends)
    assert outcome.log.same_states


def test_labels_that_were_acknowledged_are_recorded(outcome: Outcome) -> None:
    last = {label.transaction_id: label.label for label in outcome.log.labels}
    assert {outcome.load.ids[row]: label for row, label in outcome.load.known.labelled.items()} == last


@pytest.mark.long
def test_a_hundred_restarts_under_load_lose_nothing(payments: Payments, tmp_path: Path) -> None:
    payments = prepare(tmp_path, SimulationConfig(days=40, cards=1_000, merchants=400, start=date(2026, 1, 1)), 8)
    server, random, drains = Server(payments.artifacts, tmp_path / "counterfoil.db"), np.random.default_rng(12), []
    server.start()
    load = Load(payments, server)
    for _ in range(100):
        load.answered(int(random.integers(1, 300)))
        began = time.monotonic()
        server.end(signal.SIGTERM)
        drains.append(time.monotonic() - began)
        server.start()
    load.stop()
    server.end(signal.SIGTERM)
    store = open_store(server.url, read_only=True)
    recorded = {one.transaction_id: one.reply for one in store.log() if isinstance(one, Decision)}
    store.close()
    lost = [row for row, reply in load.known.answered.items() if recorded.get(load.ids[row]) != reply]
    print(
        f"\n100 restarts: {len(load.known.answered):,} acknowledged, {len(lost)} lost, {len(load.known.unanswered)} "
        f"never acknowledged; seconds from SIGTERM to the end: median {np.median(drains):.2f}, most {max(drains):.2f}"
    )
    assert not lost
