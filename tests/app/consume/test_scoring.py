"""What a worker does with every answer: it waits for what will pass, and ends for what will not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from app.consume.broker import Message, Reason
from app.consume.scoring import Scoring
from models.errors import CounterfoilError, InvalidInput

REFUSED = {"type": "urn:counterfoil:problem:invalid-transaction", "status": 422, "detail": "1 field is not as expected"}


class Service(ThreadingHTTPServer):
    """Answers as it is told to, one answer after the other; then it scores.

    Attributes:
        script: (status, headers, content) to answer with; None: the connection breaks.
        ids: whether its transactions have ids.
        seen: headers and transactions of each request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[tuple[int, dict[str, str], Any] | None] = []
        self.ids = True
        self.seen: list[tuple[dict[str, str], list[Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def scored(self, row: Any) -> dict[str, Any]:
        """A score; a row with a field "bad" is refused."""
        if "bad" in row:
            return {"error": {**REFUSED, "errors": [{"field": "bad", "message": "unknown field"}]}}
        return {"transaction_id": row.get("id") if self.ids else None, "score": 0.5, "logged": True}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["transactions"]
        self.server.seen.append((dict(self.headers), rows))
        answer = self.server.script.pop(0) if self.server.script else (200, {}, None)
        if answer is None:
            self.close_connection = True
            return
        status, headers, content = answer
        if content is None:
            content = {"results": [self.server.scored(row) for row in rows]}
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as service:
        thread = Thread(target=service.serve_forever, args=(0.01,))
        thread.start()
        yield service
        service.shutdown()
        thread.join()


class Waits(list[float]):
    """The seconds that were to be waited, without a pause."""

    __call__ = list.append


def messages(values: Sequence[Any]) -> list[Message]:
    return [
        Message(value if isinstance(value, bytes) else json.dumps(value).encode(), None, {"entry": str(place)}, place)
        for place, value in enumerate(values)
    ]


def outcomes(scoring: Scoring, *values: Any) -> list[Any]:
    """Ids of what was scored, kinds of what was refused."""
    with closing(scoring):
        settled = scoring.settle(messages(values))
    return [
        one.outcome.kind if isinstance(one.outcome, Reason) else json.loads(one.outcome)["transaction_id"]
        for one in settled
    ]


@pytest.mark.parametrize(
    "answer",
    [
        (503, {"Retry-After": "7"}, {}),
        (429, {"Retry-After": "7"}, {}),
        (500, {"Retry-After": "7"}, {}),
        (502, {"Retry-After": "7"}, "a proxy's own"),
        (200, {"Retry-After": "7"}, {"results": [{"transaction_id": "a", "logged": False}]}),
        (200, {"Retry-After": "7"}, {"results": [{"error": {"status": 503}}]}),
    ],
)
def test_what_passes_is_waited_for(service: Service, answer: Any) -> None:
    waits = Waits()
    service.script = [answer, answer]
    assert outcomes(Scoring(service.url, None, None, waits), {"id": "a"}) == ["a"]
    assert waits == [7, 7]


def test_a_service_that_is_gone_is_waited_for(service: Service) -> None:
    waits = Waits()
    service.script = [None, None]
    scoring = Scoring(service.url, None, None, waits)
    assert outcomes(scoring, {"id": "a"}, {"id": "b"}) == ["a", "b"]
    assert len(waits) == 2 and scoring.waited == sum(waits)


def test_rows_keep_their_order_and_what_is_no_json_is_not_sent(service: Service) -> None:
    rows = ({"id": "a"}, {"bad": 1}, b"{", b'{"id":1},{"id":2}', b'{"id":NaN}', b"\xff", {"id": "b"})
    found = outcomes(Scoring(service.url, None, 0, Waits()), *rows)
    assert found == ["a", "invalid-transaction", *["invalid-json"] * 4, "b"]
    assert [row for _, sent in service.seen for row in sent] == [{"id": "a"}, {"bad": 1}, {"id": "b"}]


def test_a_body_that_is_refused_is_halved_until_the_culprit_is_found(service: Service) -> None:
    scoring = Scoring(service.url, None, None, Waits())
    assert outcomes(scoring, {"id": "first"}) == ["first"]
    too_large: tuple[int, dict[str, str], Any] = (
        413,
        {},
        {"type": "urn:counterfoil:problem:too-large", "detail": "the body is larger"},
    )
    service.script = [too_large, too_large, too_large]  # all four, the first two, the first alone
    assert outcomes(scoring, *({"id": name} for name in "abcd")) == ["too-large", "b", "c", "d"]


def test_transactions_without_ids_are_sent_alone_under_a_key_of_their_place(service: Service) -> None:
    service.ids = False
    for second in (1, 1, 2):
        assert outcomes(Scoring(service.url, None, None, Waits()), {"x": 1}, {"x": second}) == [None, None]
    keys = [headers["Idempotency-Key"] for headers, _ in service.seen]
    assert keys[0:2] == keys[2:4] and len(set(keys)) == 3  # another one lies at the second place at last
    assert all(key.isalpha() for key in keys)


def test_a_key_that_was_exchanged_is_read_anew(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "worker.key"
    file.write_text("cf_old\n")
    scoring = Scoring(service.url, file, None, Waits())
    file.write_text("cf_new\n")
    service.script = [(401, {}, {})]
    assert outcomes(scoring, {"id": "a"}) == ["a"]
    assert [headers["Authorization"] for headers, _ in service.seen] == ["Bearer cf_old", "Bearer cf_new"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((401, {}, {}), "it refuses the API key: there is none, name its file with --key-file"),
        ((403, {}, {}), "the API key has not the scope score"),
        ((404, {}, {}), "--service names the service itself"),
        ((422, {}, {"type": "urn:counterfoil:problem:invalid-query", "detail": "not as expected"}), "not as expected"),
        ((301, {}, "elsewhere"), "answered 301"),
        ((200, {}, {"results": []}), "is it Counterfoil?"),
        ((200, {}, ["what"]), "is it Counterfoil?"),
    ],
)
def test_what_does_not_pass_ends_the_worker(service: Service, answer: Any, told: str) -> None:
    service.script = [answer]
    with pytest.raises(CounterfoilError, match=told.replace("?", r"\?")):
        outcomes(Scoring(service.url, None, None, Waits()), {"id": "a"})


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://x:port", "http://me:hunter2@x", "http://x?a=b"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"^--service: expected http://HOST:PORT, or https://HOST$"):
        Scoring(url, None, None, Waits())
