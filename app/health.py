"""Ask a running service whether it is ready. With the standard library alone, straight: no proxy, no redirect."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from app.address import reachable, url
from models.errors import CounterfoilError

#: The longest answer that is read: /readyz says its say in a few hundred bytes.
_MOST = 4_096


@dataclass(frozen=True)
class Health:
    """What the service says of itself.

    Attributes:
        ready: it takes transactions.
        text: its answer.
    """

    ready: bool
    text: str


def ask(host: str, port: int, seconds: float) -> Health:
    """Ask the service that listens there.

    Args:
        host: as in the settings; for every address, this machine's own.
        seconds: how long each step may take: connecting, the answer.

    Raises:
        CounterfoilError: it does not answer.
    """
    with closing(HTTPConnection(reachable(host), port, timeout=seconds)) as connection:
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            return Health(answer.status == 200, answer.read(_MOST).decode(errors="replace").strip())
        except (OSError, HTTPException) as error:
            reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
            raise CounterfoilError(f"{url(host, port)}/readyz: no answer: {reason}") from None
