"""One request of somebody who was let in: who it is, what serves, and the store's part of the console."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qs

from anyio import CapacityLimiter
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.beside import Beside
from app.console import pages
from app.console.roles import Person
from app.console.work import Work
from app.generation import Generation
from app.problems import KINDS, Refused
from app.recording.ledger import Ledger
from app.refusals import Conflict
from app.requests.bodies import read_body
from app.store.contract import Desk
from models.errors import CounterfoilError
from models.pan import contains_card_number

T = TypeVar("T")
#: Bytes of a form, and characters of a note.
_MOST_BYTES, MOST_NOTE = 256 << 10, 4_000


@dataclass(frozen=True, slots=True)
class Visit:
    """See above.

    Attributes:
        form: the fields of a form that was sent, or of the query; names that are there once or more.
        now: microseconds since 1970 UTC.
        model: the version that serves, to be shown.
    """

    request: Request
    person: Person
    generation: Generation
    ledger: Ledger
    desk: Desk
    limiter: CapacityLimiter
    beside: Beside
    form: dict[str, list[str]] = field(default_factory=dict)
    now: int = field(default_factory=lambda: time.time_ns() // 1_000)

    def one(self, name: str) -> str:
        """A field of the form; "" where it is missing."""
        return self.form.get(name, [""])[0]

    def path_number(self, name: str) -> int:
        """A number in the path.

        Raises:
            Refused: it is none.
        """
        return whole(self.request.path_params[name])

    def note(self) -> str:
        """The note in the form.

        Raises:
            Refused: too long, or it holds a card number.
        """
        text = self.one("note").replace("\r\n", "\n").strip()
        if len(text) > MOST_NOTE:
            raise Refused("bad-request", f"a note has at most {MOST_NOTE:,} characters; nothing was recorded")
        if "\0" in text or contains_card_number(text):
            raise Refused("bad-request", "the note looks as if it held a card number; no card number is kept here")
        return text

    def text(self) -> str:
        """The text of a form that is one, its lines ended as in files."""
        return self.one("text").replace("\r\n", "\n")

    async def read(self, act: Callable[[Connection], T]) -> T:
        """Read in a thread, beside those who score."""
        return await self.threaded(partial(self.desk.read, act))

    async def threaded(self, act: Callable[[], T]) -> T:
        """What ``act`` returns, in a thread, few at a time."""
        return await self.beside.run(act, self.limiter)

    async def work(self, act: Callable[[Work], T]) -> T:
        """What ``act`` returns, done by this person in the ledger's thread."""
        work = Work(self.ledger.recorder, self.desk, self.person, self.now)
        return await self.ledger.run(partial(act, work))

    async def write(self, act: Callable[[Connection], T]) -> T:
        """Write in the ledger's thread."""
        return await self.ledger.run(partial(self.desk.write, act))

    async def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page of the console, with the frame around it; drawn in a thread, for those who score need the loop."""
        draw = partial(pages.respond, self.request, template, status, person=self.person, now=self.now, **values)
        return await self.threaded(draw)


async def form_of(request: Request) -> dict[str, list[str]]:
    """The fields of a form that was sent.

    Raises:
        Refused: it is none, or too large.
    """
    body = await read_body(request, _MOST_BYTES)
    return fields(body)


def fields(encoded: bytes) -> dict[str, list[str]]:
    """The fields of a form, or of a query.

    Raises:
        Refused: it is none.
    """
    try:
        return parse_qs(encoded.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1_000)
    except (UnicodeDecodeError, ValueError):
        raise Refused("bad-request", "the form could not be read") from None


def whole(text: str) -> int:
    """A place in the log.

    Raises:
        Refused: it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Refused("not-found", "there is no such page")
    return int(text)


def status_of(error: CounterfoilError) -> int:
    """The status of a page that says what was not done, and why."""
    if isinstance(error, Refused) and error.kind != "bad-request":
        return KINDS[error.kind][0]
    return 409 if isinstance(error, Conflict) else 422


def go(path: str) -> Response:
    """On to another page of the console."""
    return RedirectResponse(pages.PREFIX + path, 303)
