"""One line per request, as JSON, whatever is sent; nothing that was sent is in it; logging waits for nobody."""

from __future__ import annotations

import json
import logging
import os
import socket
from contextlib import closing
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from app.telemetry.log_thread import ThreadedHandler
from app.telemetry.logs import WITHHELD, Renderer
from models.errors import InvalidBundle
from tests.app.calls import CARDS, renewed
from tests.app.test_server import connect, running
from tests.waiting import FAR

#: Paths and headers that would end a line, begin another, or break out of a string, if they were written as they are.
ODD = ('/"},{"event":"forged', "/%0A%7B%22event%22:%22forged%22%7D", "/a%0D%0Ab", "/%1b[2J", "/\\u000a\\n", "/%E2")


def lines(errors: str) -> list[dict[str, Any]]:
    """Every line of standard error, parsed."""
    parsed = [json.loads(line) for line in errors.splitlines()]
    assert all(line.keys() >= {"timestamp", "level", "logger", "event"} for line in parsed)
    return parsed


def requests(errors: str) -> list[dict[str, Any]]:
    """The lines of requests."""
    return [line for line in lines(errors) if line["event"] == "request"]


def raw(port: int, data: bytes) -> None:
    """Send bytes that need not be a request, and wait for the end of the answer."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=FAR)) as connection:
        connection.sendall(data)
        while connection.recv(65_536):
            pass


def test_every_line_is_json_and_none_repeats_what_was_sent(tiny_model: Path, transaction: dict[str, Any]) -> None:
    answers: list[tuple[int, str]] = []
    headers = {"Content-Type": "application/json"}
    with running(tiny_model.parent, COUNTERFOIL_LOG_LEVEL="debug") as (process, port, _), connect(port) as connection:

        def ask(method: str, path: str, body: bytes | None = None, more: dict[str, str] | None = None) -> None:
            connection.request(method, path, body, {**headers, **(more or {})})
            answer = connection.getresponse()
            answer.read()
            answers.append((answer.status, answer.headers["x-request-id"]))

        for path in ODD:
            ask("GET", path)
        for card in CARDS:
            odd = {"Referer": card, "X-Request-ID": card, "User-Agent": f"{card}\\n", "Cookie": card}
            ask("GET", f"/{card}/x?{card}={card}", None, odd)
            ask("POST", f"/v1/score?{card}", json.dumps({**transaction, "card_id": card}).encode(), odd)
        body = json.dumps(renewed(transaction)).encode()
        ask("POST", "/v1/score", body, {"X-Request-ID": "mine-1"})
        number = CARDS[0].encode()
        for broken in (b"GET /%b HTTP/9\r\n\r\n", b"%b / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nX\n%b: 1\r\n\r\n"):
            raw(port, broken % number)
        process.terminate()
        _, errors = process.communicate(timeout=FAR)
    told = requests(errors)
    assert [(line["status"], line["request_id"]) for line in told] == answers
    assert not any(card in errors for card in CARDS)
    assert "forged" not in errors
    last = told[-1]
    assert datetime.fromisoformat(last.pop("timestamp")).utcoffset() == timedelta(0)
    assert last.pop("duration_ms") > 0 and last.pop("bytes_out") > 200
    assert last == {
        "level": "info", "logger": "counterfoil.requests", "event": "request", "request_id": "mine-1",
        "method": "POST", "route": "/v1/score", "status": 200, "caller": None, "bytes_in": len(body), "complete": True,
    }  # fmt: skip
    assert {line["route"] for line in told[: len(ODD)]} == {"other"}
    loggers = {line["logger"] for line in lines(errors)}
    assert "uvicorn.error" in loggers  # the server's own lines take the same way


def test_a_level_keeps_lines_out(tiny_model: Path) -> None:
    with running(tiny_model.parent, COUNTERFOIL_LOG_LEVEL="warning") as (process, port, _), connect(port) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        process.terminate()
        assert process.communicate(timeout=FAR)[1] == ""


def test_console_lines_are_for_reading(tiny_model: Path) -> None:
    with running(tiny_model.parent, COUNTERFOIL_LOG_FORMAT="console") as (process, port, _):
        with connect(port) as connection:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        process.terminate()
        errors = process.communicate(timeout=FAR)[1]
    (line,) = [line for line in errors.splitlines() if "route=/healthz" in line]
    assert "status=200" in line and not line.startswith("{")


def test_an_answer_that_was_broken_off_says_so(tiny_model: Path, tiny_csv: Path) -> None:
    with running(tiny_model.parent) as (process, port, _):
        with connect(port) as connection:
            text = tiny_csv.read_bytes()
            connection.putrequest("POST", "/v1/score/csv")
            connection.putheader("Content-Type", "text/csv")
            connection.putheader("Content-Length", str(len(text)))
            connection.endheaders(text[:1_000])
        with connect(port) as connection:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
        process.terminate()
        told = requests(process.communicate(timeout=FAR)[1])
    (line,) = [line for line in told if line["route"] == "/v1/score/csv"]
    assert (line["status"], line["complete"], line["bytes_in"]) == (499, False, len(text))


@pytest.fixture
def json_lines() -> Renderer:
    """The renderer of JSON lines."""
    return Renderer("json")


def record(message: str, *args: object, **more: Any) -> logging.LogRecord:
    """Of some library."""
    told = {"name": "lib", "levelno": 20, "levelname": "INFO", "msg": message, "args": args}
    return logging.makeLogRecord({**told, **more})


@pytest.mark.parametrize("text", ['"', "\n", "\r\n{}", "\x1b[2J", "\u2028", "\x00", "é\ud800"])
def test_no_character_breaks_a_line(json_lines: Renderer, text: str) -> None:
    line = json_lines.format(record("got %s", text))
    assert line.isascii() and line.isprintable()
    assert json.loads(line)["event"] == f"got {text}"
    assert Renderer("console").format(record("got %s", text)).isprintable()


def test_a_card_number_in_a_library_s_message_is_withheld(json_lines: Renderer) -> None:
    assert json.loads(json_lines.format(record("bad header: %s", CARDS[0])))["event"] == WITHHELD


def test_exceptions_are_told_without_their_message_but_for_ours(json_lines: Renderer) -> None:
    told = []
    for error in (ValueError(f"could not read {CARDS[0]}"), InvalidBundle("manifest.json", "sha256", "it differs")):
        try:
            raise error
        except (ValueError, InvalidBundle) as caught:
            line = json_lines.format(record("failed", exc_info=(type(caught), caught, caught.__traceback__)))
            told.append(json.loads(line)["exception"])
    assert told[0].startswith("ValueError in test_exceptions_are_told") and CARDS[0] not in told[0]
    assert told[1].startswith("InvalidBundle: manifest.json: failed check 'sha256'")


def test_whoever_logs_never_waits_and_what_is_lost_is_said() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as reader, os.fdopen(writing, "w", encoding="utf-8") as stream:
        handler = ThreadedHandler(stream, most_waiting=20)
        handler.setFormatter(Renderer("json"))
        for number in range(500):  # more than the pipe takes: with a handler that writes itself, this would never end
            handler.handle(record("%d " + "x" * 10_000, number))
        found: list[str] = []
        while not found or "lost" not in found[-1]:
            found.append(json.loads(reader.readline())["event"])
        handler.close()
    numbers = [int(event.partition(" ")[0]) for event in found[:-1]]
    assert numbers == sorted(numbers)
    assert found[-1].startswith(f"{500 - len(numbers):,} log lines lost")


def test_what_waits_is_written_when_the_handler_is_closed() -> None:
    stream = StringIO()
    handler = ThreadedHandler(stream)
    handler.setFormatter(Renderer("json"))
    for number in range(100):
        handler.handle(record("%d", number))
    handler.close()
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == [str(n) for n in range(100)]


def test_a_record_that_cannot_be_formatted_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    stream = StringIO()
    handler = ThreadedHandler(stream)
    handler.setFormatter(Renderer("json"))
    handler.handle(record("%d", "not a number"))
    handler.handle(record("fine"))
    handler.close()
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["fine"]
