"""A store that fails under load, and comes back: nothing acknowledged is lost, and nothing is done silently."""

from __future__ import annotations

import http.client
import json
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.app.faults import FAULTS, Fault
from tests.app.offline import read_log
from tests.app.traffic import Payments, Server, bodies, label_body
from tests.waiting import FAR, until

CLIENTS = 8
#: Rows sent before the fault, while it begins, and while it lasts.
BEFORE, DURING, WHILE = range(30), range(30, 130), range(130, 160)
#: Sent again after it, and never again.
AGAIN, NEVER = range(30, 145), range(145, 160)
#: Faults that take long to notice.
LONG = ("Redis is frozen",)


@dataclass(frozen=True)
class Answer:
    """What a client got.

    Attributes:
        logged: the answer was acknowledged as recorded.
    """

    status: int
    body: bytes
    retry_after: str | None

    @property
    def logged(self) -> bool:
        return self.status == 200 and json.loads(self.body)["logged"] is True


class Till:
    """Clients of one server."""

    def __init__(self, payments: Payments, server: Server) -> None:
        self._bodies = bodies(payments.frame.head(max(WHILE) + 1), payments.schema)
        self.ids: list[str] = payments.frame["transaction_id"].to_list()
        self._server = server
        self._local = threading.local()

    def send(self, rows: Sequence[int], begin: threading.Event | None = None) -> dict[int, Answer]:
        """Send rows from several clients at once.

        Args:
            begin: set when a fifth of them is answered.
        """
        answers: dict[int, Answer] = {}

        def one(row: int) -> None:
            answers[row] = self.ask("POST", "/v1/score?reasons=1", self._bodies[row])
            if begin is not None and len(answers) > len(rows) / 5:
                begin.set()

        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(one, rows))
        return answers

    def batch(self, rows: Sequence[int]) -> list[Answer]:
        """Send rows as one request; an answer for each where it was accepted."""
        body = b'{"transactions":[%b]}' % b",".join(self._bodies[row] for row in rows)
        answer = self.ask("POST", "/v1/score/batch?reasons=0", body)
        if answer.status != 200:
            return [answer]
        return [Answer(200, json.dumps(one).encode(), None) for one in json.loads(answer.body)["results"]]

    def label(self, row: int) -> Answer:
        """Send a label."""
        return self.ask("POST", "/v1/feedback", label_body(self.ids[row], "fraud"))

    def ready(self) -> Answer:
        """Ask whether it is ready."""
        return self.ask("GET", "/readyz")

    def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """One request on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=FAR)) as connection:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return Answer(response.status, response.read(), response.getheader("Retry-After"))

    def until_back(self) -> None:
        """Wait until it says by itself that it is ready and records."""

        def back() -> bool:
            answer = self.ready()
            return answer.status == 200 and bool(json.loads(answer.body)["logging"])

        until(back, "a service that records again")


@dataclass(frozen=True)
class Story:
    """What happened: the answers of each time, what readyz said while it lasted, and standard error."""

    fault: Fault
    before: dict[int, Answer]
    during: dict[int, Answer]
    meanwhile: dict[int, Answer]
    batch: list[Answer]
    label: Answer
    ready: Answer
    alive: Answer
    after: dict[int, Answer]
    repeated: dict[int, Answer]
    errors: str

    @property
    def acknowledged(self) -> Iterator[tuple[int, Answer]]:
        """Rows that were answered as recorded, with the answer."""
        for answers in (self.before, self.during, self.after):
            yield from ((row, answer) for row, answer in answers.items() if answer.logged)


def story(payments: Payments, fault: Fault, folder: Path, mode: str) -> Story:
    """Load, the fault in the middle of it, load, the end of the fault, load."""
    settings = {"COUNTERFOIL_DATABASE_URL": fault.url, "COUNTERFOIL_ON_STORE_FAILURE": mode, **fault.settings}
    with closing(Server(payments.artifacts, folder / "unused", **settings)) as server:
        return _told(payments, fault, server)


def _told(payments: Payments, fault: Fault, server: Server) -> Story:
    server.start()
    till = Till(payments, server)
    before = till.send(BEFORE)
    moment = threading.Event()

    def strike() -> None:
        moment.wait()
        fault.begin()

    striking = threading.Thread(target=strike)
    striking.start()
    during = till.send(DURING, moment)
    striking.join()
    till.send(WHILE[:1])  # it may not have been noticed yet
    meanwhile = till.send(WHILE)
    batch, label = till.batch(WHILE[:3]), till.label(0)
    ready, alive = till.ready(), till.ask("GET", "/healthz")
    fault.end()
    till.until_back()
    after, repeated = till.send(AGAIN), till.send(BEFORE)
    errors = server.end(signal.SIGTERM)
    return Story(fault, before, during, meanwhile, batch, label, ready, alive, after, repeated, errors)


def check_log(payments: Payments, told: Story) -> None:
    """What was acknowledged is in the log once, as answered; features and states are what training makes of it."""
    log = read_log(payments, told.fault.url)
    name = payments.frame["transaction_id"].to_list()
    recorded = {one.transaction_id: one.reply for one in log.decisions}
    assert len(recorded) == len(log.decisions)
    assert not log.labels
    for row, answer in told.acknowledged:
        assert recorded[name[row]] == answer.body
    assert recorded.keys() <= {name[row] for row in (*BEFORE, *DURING, *WHILE)}
    assert recorded.keys() >= {name[row] for row in (*BEFORE, *AGAIN)}
    assert all(b'"logged":true' in reply for reply in recorded.values())
    assert log.offline.differing == 0
    assert log.same_states


@pytest.mark.early
@pytest.mark.parametrize("kind", [pytest.param(one, marks=[pytest.mark.long] * (one in LONG)) for one in FAULTS])
def test_it_refuses_while_the_store_fails_and_comes_back(payments: Payments, tmp_path: Path, kind: str) -> None:
    with FAULTS[kind](tmp_path) as fault:
        told = story(payments, fault, tmp_path, "refuse")
        for answer in (*told.meanwhile.values(), *told.batch, told.label, told.ready):
            assert (answer.status, answer.retry_after) == (503, "1"), answer.body
            assert json.loads(answer.body)["type"] == "urn:counterfoil:problem:store-unavailable"
            assert not re.search(rb"127\.0\.0\.1|log\.db|SQLite|PostgreSQL|Redis|disk", answer.body)
        assert {answer.status for answer in told.during.values()} <= {200, 503}
        assert told.alive.status == 200
        assert all(answer.logged for answers in (told.before, told.after) for answer in answers.values())
        assert told.repeated == told.before
        assert told.errors.count("the store takes no writes") == 1
        check_log(payments, told)


@pytest.mark.parametrize("kind", ["the disk is full", "PostgreSQL is stopped", "Redis is killed"])
def test_where_so_chosen_it_scores_on_and_says_so(payments: Payments, tmp_path: Path, kind: str) -> None:
    with FAULTS[kind](tmp_path) as fault:
        told = story(payments, fault, tmp_path, "score")
        unlogged = [*told.meanwhile.values(), *told.batch]
        assert all(answer.status == 200 and not answer.logged for answer in unlogged)
        if fault.shared:
            assert all(json.loads(answer.body)["approximate"] for answer in unlogged)
        assert all(answer.status == 200 for answer in told.during.values())
        assert (told.ready.status, json.loads(told.ready.body)["logging"]) == (200, False)
        assert (told.label.status, told.label.retry_after) == (503, "1")
        assert all(answer.logged for answers in (told.before, told.after) for answer in answers.values())
        assert told.repeated == told.before
        assert told.errors.count("scoring goes on") == 1
        check_log(payments, told)
