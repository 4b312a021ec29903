"""Who is let in while more come than can be answered, and who is told so at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from fastapi import FastAPI

from app.admission import Admission, Refusal
from app.http.limits import Limits
from app.recording.pace import TELLING, Pace
from app.telemetry.metrics import Metrics
from tests.app.http.edge_server import one, post, serving
from tests.waiting import until


def test_what_a_row_takes_is_told_by_stays_beside_many() -> None:
    pace = Pace()
    assumed = pace.seconds
    assert assumed > 0  # the first rush is not let in whole
    pace.measured(1, 0.01)
    assert pace.seconds == assumed  # a row alone waits for the whole sync of the disk
    for _ in range(100):
        pace.measured(100, 0.2)
    assert pace.seconds == pytest.approx(0.002, rel=0.01)


def test_a_standstill_of_the_disk_is_forgotten_by_those_few_that_are_let_in() -> None:
    pace = Pace()
    for _ in range(200):
        pace.measured(200, 60.0)
    assert pace.seconds > 0.1
    pace.measured(TELLING - 1, 0.015)
    assert pace.seconds == pytest.approx(0.001)


@pytest.fixture
def admission(app: FastAPI) -> Iterator[Admission]:
    """Of a service whose ledger takes a hundredth of a second for a row."""
    ledger = app.state.serving.ledger
    before = ledger.pace.seconds
    ledger.pace.seconds = 0.01
    yield Admission(app.state.serving, 0.1, Metrics())
    ledger.pace.seconds = before


def test_more_than_can_be_answered_is_refused_before_it_is_read(
    admission: Admission, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(Limits()) as served, ExitStack() as stack:
        served.edge.admission = admission
        clients = [stack.enter_context(served.connect()) for _ in range(TELLING)]
        for client in clients:
            client.sendall(post("/v1/score/hold", b"{}"))
        until(lambda: len(served.app.called) == TELLING)
        assert admission.wait == pytest.approx(0.01 * TELLING)
        for _ in range(2):
            with served.connect() as late:
                late.sendall(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
                head, body = one(late)  # nothing of the body was sent
                assert head.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1\r\n" in head.lower()
                problem = json.loads(body)
                assert problem["type"] == "urn:counterfoil:problem:overloaded"
                assert problem["request_id"].encode() in head
        assert "/v1/score" not in served.app.called
        assert served.ask(b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        served.app.go.set()
        assert all(one(client)[0].startswith(b"HTTP/1.1 200 ") for client in clients)
        until(lambda: admission.pending == 0)
        again = clients[0]
        again.sendall(post("/v1/score", b"{}"))
        assert one(again)[0].startswith(b"HTTP/1.1 200 ")
    assert admission._metrics.overloads._value.get() == 2
    assert caplog.text.count("more requests come than can be answered in time") == 1


def test_a_whole_request_is_refused_on_a_connection_that_stays(admission: Admission) -> None:
    with serving(Limits()) as served, ExitStack() as stack:
        served.edge.admission = admission
        clients = [stack.enter_context(served.connect()) for _ in range(TELLING)]
        for client in clients:
            client.sendall(post("/v1/score/hold", b"{}"))
        until(lambda: admission.pending == TELLING)
        with served.connect() as late:
            heads = []
            for some in (1, 1, 3):  # whole ones come unparsed, several at once do not
                late.sendall(post("/v1/score", b"{}") * some)
                heads += [one(late) for _ in range(some)]
            ids = {json.loads(body)["request_id"].encode() for _, body in heads}
            assert len(ids) == 5 and all(any(one in head for one in ids) for head, _ in heads)
            assert all(b"\r\ndate: " in head and b"connection: close" not in head for head, _ in heads)
            assert len({head.partition(b"x-request-id")[0] for head, _ in heads}) == 1
            late.sendall(post("/elsewhere", b"!"))
            assert one(late)[1] == b"POST /elsewhere !"
            served.app.go.set()
            until(lambda: admission.pending == 0)
            late.sendall(post("/v1/score", b"{}"))
            assert one(late)[0].startswith(b"HTTP/1.1 200 ")
        assert served.app.called.count("/v1/score") == 1


def test_who_asks_to_close_is_refused_and_let_go(admission: Admission) -> None:
    with serving(Limits()) as served, ExitStack() as stack:
        served.edge.admission = admission
        for _ in range(TELLING):
            stack.enter_context(served.connect()).sendall(post("/v1/score/hold", b"{}"))
        until(lambda: admission.pending == TELLING)
        for request in (
            post("/v1/score", b"{}", "Connection: close"),
            post("/v1/score", b"{}").replace(b"HTTP/1.1", b"HTTP/1.0"),
        ):
            answer = served.ask(request)  # it ends
            head, body = answer.split(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ") and b"\r\nconnection: close" in head
            assert json.loads(body)["status"] == 503


def test_what_a_request_has_waited_for_counts(admission: Admission) -> None:
    async def app(*_: object) -> None: ...

    admission._serving.ledger.pace.seconds = 0.001  # type: ignore[union-attr]
    assert isinstance(admission.let_in("/v1/score", app, 0.2), Refusal)  # it is late already
    for _ in range(TELLING):
        assert not isinstance(admission.let_in("/v1/score", app, 0.09), Refusal)
    assert not isinstance(admission.let_in("/v1/score", app, 0.05), Refusal)
    assert isinstance(admission.let_in("/v1/score", app, 0.09), Refusal)
    assert admission.full(0.05, unread=50) and not admission.full(0.05)
    assert not isinstance(admission.let_in("/v1/score", app, 0.09, taken=True), Refusal)
    assert isinstance(admission.let_in("/v1/score", app, 0.11, taken=True), Refusal)


def test_those_who_wait_measure_what_a_row_takes(admission: Admission) -> None:
    ledger = admission._serving.ledger
    assert ledger is not None

    async def app(*_: object) -> None:
        ledger.answered += 2 * TELLING

    async def idle(*_: object) -> None: ...

    before = ledger.pace.seconds
    for whole, answers in ((False, app), (True, idle)):
        asyncio.run(admission.let_in("/v1/score", answers, whole=whole)({}, None, None))  # type: ignore[arg-type]
        assert ledger.pace.seconds == before
    asyncio.run(admission.let_in("/v1/score", app)({}, None, None))  # type: ignore[arg-type]
    assert ledger.pace.seconds < before and admission.pending == 0


def test_a_client_that_goes_away_makes_room(admission: Admission) -> None:
    with serving(Limits()) as served:
        served.edge.admission = admission
        with served.connect() as client:
            client.sendall(post("/v1/score/hold", b"{}"))
            until(lambda: admission.pending == 1)
        served.app.go.set()
        until(lambda: admission.pending == 0)


def test_few_are_let_in_however_slow_the_ledger_is(admission: Admission) -> None:
    async def app(*_: object) -> None: ...

    admission._serving.ledger.pace.seconds = 60.0  # type: ignore[union-attr]
    passed = [admission.let_in("/v1/score", app) for _ in range(TELLING)]
    assert len(set(passed)) == TELLING and admission.let_in("/v1/score", app) not in passed
    assert admission.let_in("/v1/decisions", app) is app
    assert admission.pending == TELLING
