"""The service computes what training computes: the same payments through HTTP and through the offline path.

    python -m pytest tests/app/test_parity.py                            # 3,400 payments
    python -m pytest -p tests.long --long -s tests/app/test_parity.py    # more than 200,000; half an hour

Payments arrive late, twice, with equal times, one by one and in batches, over several connections, with labels in
between, while the server is stopped and killed. What arrived when is what the log says.
"""

from __future__ import annotations

import json
import queue
import signal
import threading
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.behaviour import plan as P
from tests.app.offline import Comparison, Logged, compare, read_log, shifted
from tests.app.traffic import Client, Payments, Server, batch_of, bodies, label_body, prepare, results_of
from training.simulate import SimulationConfig

CONNECTIONS = 4
LATE, TOO_LATE, TIES, AGAIN, OTHER = 0.03, 0.002, 0.02, 0.01, 0.001


@dataclass
class Request:
    """One request: the rows of a batch, one row, or a label; ``other`` where its id has another body in the log."""

    rows: list[int] = field(default_factory=list)
    reasons: str = "?reasons=0"
    single: bool = False
    other: bool = False
    label: str | None = None


class Plan:
    """What is sent, in rounds: what a round repeats or labels was answered in an earlier one.

    Attributes:
        frame: the payments as sent, in the order in which they are to arrive.
    """

    def __init__(self, payments: Payments, rounds: int, largest: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.frame, self.late, self.ties = self._delayed(payments.frame)
        self._bodies = bodies(self.frame, payments.schema)
        self.ids: list[str] = self.frame["transaction_id"].to_list()
        self._fraud = np.flatnonzero(self.frame["is_fraud"].to_numpy() == 1)
        edges = np.linspace(0, self.frame.height, rounds + 1).astype(int)
        self.rounds = [self._round(start, end, largest) for start, end in pairwise(edges.tolist())]

    def send(self, client: Client, request: Request) -> list[tuple[int, bytes]]:
        """Send a request; status and reply of each of its rows."""
        if request.label is not None:
            return [client.post("/v1/feedback", label_body(self.ids[request.rows[0]], request.label))]
        rows = [self._bodies[row] for row in request.rows]
        if request.other:
            rows = [json.dumps({**json.loads(row), "amount": 12.34}).encode() for row in rows]
        if request.single:
            return [client.post("/v1/score" + request.reasons, rows[0])]
        status, reply = client.post("/v1/score/batch" + request.reasons, batch_of(rows))
        assert status == 200, reply
        results = results_of(reply)
        return [(json.loads(one)["error"]["status"] if one.startswith(b'{"error"') else 200, one) for one in results]

    def _delayed(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
        """The payments in the order of arrival, how many are late, and how many have their card's last time."""
        random, rows = self._random, frame.height
        tied = pl.Series(random.random(rows) < TIES)
        before = pl.col("timestamp").shift(1).over("card_id")
        ties = frame.select((tied & before.is_not_null()).sum()).item()
        time = pl.when(tied & before.is_not_null()).then(before).otherwise(pl.col("timestamp"))
        frame = frame.with_columns(time.alias("timestamp"))
        minutes = np.exp(random.uniform(np.log(2), np.log(2 * 24 * 60), rows))
        kind = random.random(rows)
        delay = np.where(kind < LATE, minutes, 0)
        delay = np.where(kind < TOO_LATE, random.uniform(3.2, 5, rows) * 24 * 60, delay)
        arrival = frame["timestamp"] + pl.Series(delay * 60_000).cast(pl.Duration("ms"))
        return frame.with_columns(arrival=arrival).sort("arrival", maintain_order=True), int((delay > 0).sum()), ties

    def _round(self, start: int, end: int, largest: int) -> list[Request]:
        random = self._random
        requests = []
        at = start
        while at < end:
            size = 1 if random.random() < 0.3 else int(random.integers(2, largest))
            rows = list(range(at, min(at + size, end)))
            if random.random() < 0.2:
                rows += rows[-1:]  # twice in one batch
            single = len(rows) == 1
            requests.append(Request(rows, "" if single and random.random() < 0.3 else "?reasons=0", single))
            at += size
        extra = []
        if start:
            again = random.integers(0, start, round(AGAIN * (end - start)))
            extra += [Request(part.tolist()) for part in np.array_split(again, max(len(again) // 20, 1))]
            others = random.integers(0, start, max(1, round(OTHER * (end - start))))
            extra += [Request([row], single=True, other=True) for row in others.tolist()]
            recent = self._fraud[(self._fraud < start) & (self._fraud >= start - 3 * (end - start))]
            labelled = [(row, "fraud") for row in recent[random.random(len(recent)) < 0.3].tolist()]
            labelled += [(row, str(random.choice(["legitimate", "disputed", "fraud"]))) for row in others.tolist()]
            extra += [Request([row], label=label) for row, label in labelled]
        for request in extra:
            requests.insert(int(random.integers(0, len(requests) + 1)), request)
        return requests


class Sender:
    """Sends a plan over several connections and keeps what was answered."""

    def __init__(self, plan: Plan, server: Server) -> None:
        self._plan, self._server = plan, server
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []
        self.replies: dict[int, bytes] = {}
        self.refused: dict[int, int] = {}
        self.duplicates = self.conflicts = self.labels = self.restarts = 0

    def run(self, endings: dict[int, signal.Signals]) -> None:
        """Send everything. In some rounds, by their numbers, the server is stopped in the middle and started again."""
        for number, requests in enumerate(self._plan.rounds):
            waiting: queue.SimpleQueue[Request] = queue.SimpleQueue()
            for request in requests:
                waiting.put(request)
            threads = [threading.Thread(target=self._work, args=(waiting, number)) for _ in range(CONNECTIONS)]
            for thread in threads:
                thread.start()
            if number in endings:
                while waiting.qsize() > len(requests) // 2 and not self._errors:
                    threading.Event().wait(0.001)
                self._server.end(endings[number])
                self._server.start()
                self.restarts += 1
            for thread in threads:
                thread.join()
            if self._errors:
                raise self._errors[0]

    def _work(self, waiting: queue.SimpleQueue[Request], number: int) -> None:
        client = Client(self._server)
        try:
            while not self._errors:
                request = waiting.get_nowait()
                answers = self._plan.send(client, request)
                with self._lock:
                    self._note(request, answers, number)
        except queue.Empty:
            pass
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            self._errors.append(error)
        finally:
            client.close()

    def _note(self, request: Request, answers: list[tuple[int, bytes]], number: int) -> None:
        for row, (status, reply) in zip(request.rows, answers, strict=True):
            if request.label is not None:
                assert status == (404 if row in self.refused else 200), reply
                self.labels += status == 200
            elif request.other and row not in self.refused:
                assert status == 409, reply
                self.conflicts += 1
            elif status == 200:
                self.duplicates += row in self.replies
                assert self.replies.setdefault(row, reply) == reply
            else:
                assert status == 422, reply
                assert b"days before the newest transaction of the same" in reply
                self.refused[row] = number


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    sender: Sender
    plan: Plan
    log: Logged
    planted: Comparison


@pytest.fixture(scope="module")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long forms are asked for."""
    return bool(request.config.getoption("--long", default=False))


@pytest.fixture(scope="module")
def outcome(long: bool, payments: Payments, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Everything sent, the log read, and the same done offline."""
    folder = tmp_path_factory.mktemp("parity")
    if long:
        days = SimulationConfig(days=60, cards=5_000, merchants=2_000, start=date(2026, 1, 1))
        payments = prepare(folder, days, 18)
    plan = Plan(payments, 60 if long else 8, 400 if long else 60, seed=7)
    server = Server(payments.artifacts, folder / "counterfoil.db")
    server.start()
    sender = Sender(plan, server)
    third = len(plan.rounds) // 3
    sender.run({third: signal.SIGTERM, 2 * third: signal.SIGKILL})
    server.end(signal.SIGTERM)
    log = read_log(payments, server.url, plan.frame)
    planted = log.again(payments.scorer, shifted(log.rows, 0.001, seed=1), refuse=False)
    return Outcome(sender, plan, log, compare(payments.scorer, log.decisions, planted))


def test_features_scores_and_states_are_those_of_the_offline_path(outcome: Outcome, long: bool) -> None:
    sender, log, honest = outcome.sender, outcome.log, outcome.log.offline
    print(
        f"\nparity: {honest.rows:,} rows recorded, {outcome.plan.late:,} late, {outcome.plan.ties:,} ties, "
        f"{len(sender.refused):,} refused as too late, {sender.duplicates:,} duplicates, {sender.conflicts:,} "
        f"conflicts, {sender.labels:,} labels, {sender.restarts} restarts; {honest.features:,} features compared, "
        f"{honest.differing} differing; largest difference of scores {honest.score:.3g}, of errors {honest.error:.3g} "
        f"(relative); {log.states:,} states {'equal' if log.same_states else 'DIFFERENT'}; with the planted bug "
        f"{outcome.planted.differing:,} features differ"
    )
    assert honest.rows + len(sender.refused) == outcome.plan.frame.height
    assert not long or honest.rows >= 200_000
    assert honest.differing == 0
    assert honest.score <= 1e-6
    assert log.same_states


def test_a_planted_bug_is_found(outcome: Outcome) -> None:
    assert outcome.planted.differing > 0


def test_every_answer_is_the_recorded_one_and_every_row_recorded_once(outcome: Outcome) -> None:
    recorded = {one.transaction_id: one.reply for one in outcome.log.decisions}
    assert len(recorded) == len(outcome.log.decisions)
    assert recorded == {outcome.plan.ids[row]: reply for row, reply in outcome.sender.replies.items()}


def test_refused_rows_had_a_reason(outcome: Outcome) -> None:
    assert outcome.sender.refused
    frame = outcome.plan.frame.with_row_index("row")
    for row in outcome.sender.refused:
        mine: dict[str, Any] = frame.row(row, named=True)
        same = (pl.col("card_id") == mine["card_id"]) | (pl.col("merchant_id") == mine["merchant_id"])
        assert frame.filter(same)["timestamp"].max() > mine["timestamp"] + timedelta(seconds=P.LATEST_SECONDS)


def test_the_run_was_as_hard_as_meant(outcome: Outcome) -> None:
    sender, plan = outcome.sender, outcome.plan
    assert plan.late >= 0.02 * plan.frame.height
    assert min(plan.ties, sender.duplicates, sender.conflicts, sender.labels) > 0
    assert sender.restarts == 2
