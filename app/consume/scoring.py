"""Has messages scored by the service, however long that takes: it waits, and gives up nothing.

Only two things end the waiting: an answer that is durable, or a refusal that would be the same every time.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic_core import from_json, to_json

from app.consume.broker import Message, Reason, Settled
from app.refusals import FieldProblem
from models.errors import CounterfoilError, InvalidInput

PATH = "/v1/score/batch"
#: Seconds that one step of a request may take: connecting, sending, the next part of the answer.
_PATIENCE = 30.0
#: Seconds between two tries: the first, and the most; those that the service asks for may be more.
_FIRST, _MOST, _MOST_ASKED = 0.1, 2.0, 60.0
#: A body that is refused as a whole for one of these holds a transaction that would be refused alone.
_OF_A_ROW = ("invalid-json", "invalid-transaction", "too-large")
#: A key that holds letters only, so that it is taken for no card number.
_LETTERS = str.maketrans("0123456789", "ghijklmnop")
_log = logging.getLogger(__name__)


class Scoring:
    """A client of ``POST /v1/score/batch``.

    Args:
        service: its URL.
        key_file: holds the API key; read anew where the service refuses what was read before.
        reasons: asked for each transaction; None for as many as the service gives by itself.
        wait: is called with the seconds until the next try; ends the waiting by raising.

    Attributes:
        waited: seconds in all.
    """

    def __init__(self, service: str, key_file: Path | None, reasons: int | None, wait: Callable[[float], None]) -> None:
        try:
            parts = urlsplit(service)
            self._port = parts.port
        except ValueError:
            parts = urlsplit("")
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or parts.username
        ):
            raise InvalidInput("--service: expected http://HOST:PORT, or https://HOST")
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._service = parts.hostname or "", f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._path = f"{parts.path.rstrip('/')}{PATH}" + ("" if reasons is None else f"?reasons={reasons}")
        self._key_file, self._key = key_file, _read_key(key_file)
        self._wait = wait
        self._connection: HTTPConnection | None = None
        #: Whether transactions have ids, as far as is known. Without, each is sent alone, with a key made of its place.
        self._ids = False
        self.waited = 0.0

    def settle(self, messages: Sequence[Message]) -> list[Settled]:
        """Have messages scored in their order.

        Returns:
            One for each, in the same order.

        Raises:
            CounterfoilError: the service will not score for this worker at all.
        """
        outcomes: list[bytes | Reason] = []
        readable: list[Message] = []
        for message in messages:
            reason = _unreadable(message.value)
            if reason is None:
                readable.append(message)
            outcomes.append(b"" if reason is None else reason)
        scored = iter(self._score(readable))
        return [
            Settled(message, next(scored) if outcome == b"" else outcome)
            for message, outcome in zip(messages, outcomes, strict=True)
        ]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _score(self, messages: Sequence[Message]) -> list[bytes | Reason]:
        found: list[bytes | Reason] = []
        while len(found) < len(messages):
            rest = messages[len(found) :]
            found += self._some(rest if self._ids else rest[:1])
        return found

    def _some(self, messages: Sequence[Message]) -> list[bytes | Reason]:
        answer = self._answer(messages)
        if not isinstance(answer, Reason):
            return answer
        if len(messages) == 1:
            return [answer]
        middle = len(messages) // 2
        return self._some(messages[:middle]) + self._some(messages[middle:])

    def _answer(self, messages: Sequence[Message]) -> list[bytes | Reason] | Reason:
        """What the service says in the end: an outcome for each, or why it refuses the body as a whole."""
        body = b'{"transactions":[%b]}' % b",".join(message.value or b"" for message in messages)
        headers = {"Content-Type": "application/json"}
        if not self._ids:
            headers["Idempotency-Key"] = _name(messages[0])
        tries, told = 0, ""
        while True:
            if self._key is not None:
                headers["Authorization"] = f"Bearer {self._key}"
            seconds = None
            try:
                status, sent, content = self._post(body, headers)
            except (OSError, HTTPException) as error:
                self.close()
                why = f"no answer: {(getattr(error, 'strerror', None) or type(error).__name__).lower()}"
            else:
                answer = self._understood(status, content, len(messages))
                if not isinstance(answer, str):
                    if tries and told:
                        _log.info("%s answers again", self._service)
                    return answer
                why, seconds = answer, _asked(sent)
            if why != told and tries:  # a connection that was idle for too long is none to tell of
                _log.warning("%s: %s; waiting, nothing is lost", self._service, why)
                told = why
            seconds = seconds or min(_FIRST * 2**tries, _MOST) * random.uniform(0.5, 1)
            tries = min(tries + 1, 10)
            self.waited += seconds
            self._wait(seconds)

    def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, HTTPResponse, bytes]:
        if self._connection is None:
            self._connection = self._kind(self._host, self._port, timeout=_PATIENCE)
        self._connection.request("POST", self._path, body, dict(headers))
        response = self._connection.getresponse()
        return response.status, response, response.read()

    def _understood(self, status: int, content: bytes, rows: int) -> list[bytes | Reason] | Reason | str:
        """An answer: an outcome for each, why the body is refused as a whole, or what there is to wait for.

        Raises:
            CounterfoilError: waiting would not help.
        """
        if status == 200:
            return self._results(content, rows)
        if status in (408, 429) or status >= 500:
            return f"answered {status}"
        reason = _reason(_object(content))
        if status in (400, 413, 422) and reason.kind in _OF_A_ROW:
            return reason
        if status == 401 and self._key_file is not None and (key := _read_key(self._key_file)) != self._key:
            self._key = key
            return "another API key is in the file"
        advice = {
            401: f"it refuses the API key{'' if self._key_file else ': there is none, name its file with --key-file'}",
            403: "the API key has not the scope score: counterfoil keys create NAME --scope score",
            404: f"there is no {PATH}: --service names the service itself, without a path of its API",
        }.get(status, reason.detail)
        raise CounterfoilError(f"{self._service} answered {status}: {advice}")

    def _results(self, content: bytes, rows: int) -> list[bytes | Reason] | str:
        results = _object(content).get("results")
        if not isinstance(results, list) or len(results) != rows or not all(isinstance(one, dict) for one in results):
            raise CounterfoilError(f"{self._service} answered something else than scores: is it Counterfoil?")
        outcomes: list[bytes | Reason] = []
        for result in results:
            if (error := result.get("error")) is not None:
                if error.get("status", 500) >= 500:
                    return f"answered {error.get('status')} for a transaction"
                outcomes.append(_reason(error))
            elif not result.get("logged", True):
                return "it scores and records nothing: its store fails"
            else:
                self._ids = result.get("transaction_id") is not None
                outcomes.append(to_json(result))
        return outcomes


def _read_key(file: Path | None) -> str | None:
    if file is None:
        return None
    key = file.read_text(encoding="utf-8").strip()
    if not key.isascii() or not key.isprintable() or not key:
        raise InvalidInput(f"{file}: expected one API key, as counterfoil keys create prints it")
    return key


def _unreadable(value: bytes | None) -> Reason | None:
    """Why a message is no JSON value that can stand beside others in a body; None where it is one."""
    if value is None:
        return Reason("no-transaction", "the message has no value")
    try:
        from_json(value, allow_inf_nan=False, cache_strings="none")
    except ValueError:
        return Reason("invalid-json", "the message is not JSON in UTF-8")
    return None


def _name(message: Message) -> str:
    """An Idempotency-Key for a message: its place, and what it holds, for a topic may be made anew."""
    content = b"\0".join((message.place.encode(), message.value or b""))
    return blake2b(content, digest_size=16).hexdigest().translate(_LETTERS)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = from_json(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _reason(problem: Mapping[str, Any]) -> Reason:
    kind = str(problem.get("type", "")).rpartition(":")[2]
    errors = tuple(
        FieldProblem(field=str(one.get("field", "")), message=str(one.get("message", "")))
        for one in problem.get("errors") or ()
        if isinstance(one, dict)
    )
    return Reason(kind or "unknown", str(problem.get("detail", "it says no more")), errors)


def _asked(response: HTTPResponse) -> float | None:
    """Seconds that the service asks to wait."""
    asked = response.getheader("Retry-After", "")
    return min(float(asked), _MOST_ASKED) if asked.isdecimal() and asked != "0" else None
