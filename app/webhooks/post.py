"""One attempt: a POST to an endpoint, on an address that was looked at, within a time, following nobody elsewhere."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from http.client import HTTPConnection, HTTPException
from importlib.metadata import version
from threading import Timer
from urllib.parse import urlsplit

from app.webhooks.addresses import NotAllowed, allowed_addresses
from app.webhooks.endpoints import Endpoint
from app.webhooks.event import Event
from app.webhooks.signature import signed

#: Seconds to connect to one address; until an attempt is broken off. Bytes of an answer that are read.
_CONNECT, _MOST_SECONDS, _MOST_BYTES = 5.0, 15.0, 16_384
_GONE = 410


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt.

    Attributes:
        status: of the answer; None where there was none.
        why: it failed, for the log; "" where it did not. Never what the receiver said.
    """

    status: int | None
    why: str = ""

    @property
    def gone(self) -> bool:
        """Whether the receiver wants no more."""
        return self.status == _GONE


def post(endpoint: Endpoint, event: Event, now: float) -> Outcome:
    """Send an event once.

    Args:
        now: seconds since 1970 UTC, which is signed.
    """
    try:
        status = _answer(endpoint, event, now)
    except NotAllowed as error:
        return Outcome(None, str(error))
    except socket.gaierror:
        return Outcome(None, "its name cannot be resolved")
    except ssl.SSLCertVerificationError as error:
        return Outcome(None, f"its certificate is not good: {error.verify_message}")
    except TimeoutError:
        return Outcome(None, "no answer in time")
    except (OSError, HTTPException) as error:
        return Outcome(None, getattr(error, "strerror", None) or f"no answer: {type(error).__name__}")
    if 200 <= status < 300:
        return Outcome(status)
    return Outcome(status, f"answered {status}" + ("; redirects are not followed" if 300 <= status < 400 else ""))


def _answer(endpoint: Endpoint, event: Event, now: float) -> int:
    parts = urlsplit(endpoint.url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/cloudevents+json",
        "User-Agent": f"counterfoil/{version('counterfoil')}",
        "Connection": "close",
        **signed(event.id, int(now), event.body, endpoint.signing(datetime.fromtimestamp(now, UTC))),
    }
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _Pinned(host, port, allowed_addresses(host, port, endpoint.allow_private), secure)
    deadline = Timer(_MOST_SECONDS, connection.break_off)
    deadline.start()
    try:
        connection.request("POST", target, event.body, headers)
        response = connection.getresponse()
        with suppress(OSError, HTTPException):  # it has said what counts
            response.read(_MOST_BYTES)
        return response.status
    except (OSError, HTTPException):
        if connection.broken_off:
            raise TimeoutError from None
        raise
    finally:
        deadline.cancel()
        connection.close()


class _Pinned(HTTPConnection):
    """A connection to given addresses of a host; TLS asks for the certificate of its name."""

    def __init__(self, host: str, port: int, addresses: list[str], secure: bool) -> None:
        super().__init__(host, port, timeout=_CONNECT)
        self._addresses, self._secure = addresses, secure
        self.broken_off = False

    def connect(self) -> None:
        """Connect to the first address that lets us."""
        for address in self._addresses:
            try:
                self.sock = socket.create_connection((address, self.port), _CONNECT)
                break
            except OSError:
                if address == self._addresses[-1]:
                    raise
        if self.broken_off:
            raise TimeoutError
        self.sock.settimeout(_MOST_SECONDS)
        if self._secure:
            self.sock = _context().wrap_socket(self.sock, server_hostname=self.host)

    def break_off(self) -> None:
        """End it, whatever it waits for. Any thread."""
        self.broken_off = True
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


@cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()  # the system's authorities, or those of SSL_CERT_FILE
