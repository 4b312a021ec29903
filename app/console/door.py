"""Who is let in to the console: sessions, passwords, and requests that come from the console's own pages.

A request that changes something must say that it comes from here: browsers tell it in ``Sec-Fetch-Site``, older ones,
and all over plain HTTP, in ``Origin``. No token is needed in any form.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request

from app.access.bucket import Bucket
from app.address import is_loopback
from app.console.roles import Person
from app.console.users import Users
from app.problems import Refused
from app.settings import Settings
from app.store.contract import Desk
from app.store.sql import sessions

COOKIE = "counterfoil_session"
#: A working day: how long somebody stays signed in.
SESSION_SECONDS = 12 * 3_600
#: Passwords tried for one name: five at once, each place free again after a minute; and names remembered for it.
_AGAIN_PER_SECOND, _BURST, _NAMES = 1 / 60, 5, 1_000
#: What an unknown name's password is compared with, so that it takes as long as a known one's.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$rBfSVMAAi83RA0tEceg1Qw$itPvtMygazcMly+Tjp7gIlRBM6tkUgVXIgY4sNqhrgw"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that has begun; the token goes to the browser and is kept nowhere."""

    token: str
    person: Person


class Door:
    """Lets people in. Any thread.

    Args:
        settings: of the service.
    """

    def __init__(self, settings: Settings) -> None:
        self.users = Users(settings.users_file)
        self._keys: Path = settings.keys_file
        self._loopback = is_loopback(settings.host) and not settings.oidc_issuer
        self._tries: OrderedDict[str, list[Bucket]] = OrderedDict()
        self._lock = threading.Lock()

    def local(self, request: Request) -> Person | None:
        """Who asks where nobody has to sign in: no user and no API key was ever made, no provider vouches for people,
        and nothing but this machine reaches the service. The host that is asked for must be this machine by name, too:
        pages of other sites could else have theirs point here."""
        client = request.client.host if request.client else ""
        named = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if self._loopback and is_loopback(client) and is_loopback(named) and not self._keys.exists():
            return Person("local", "admin", local=True) if self.users.now() is None else None
        return None

    def who(self, request: Request, desk: Desk) -> Person | None:
        """Whose session it is, or the local user.

        Raises:
            StoreUnavailable: sessions cannot be read.
        """
        token = request.cookies.get(COOKIE)
        users = self.users.now()
        if token and users is not None:
            digest, now = _digest(token), time.time_ns() // 1_000
            found = desk.read(partial(sessions.find, digest=digest, now=now))
            user = None if found is None else users.get(found[0])
            if found is not None and user is not None:
                begun = found[1] / 1e6 - SESSION_SECONDS
                if begun >= user.changed_at.timestamp():
                    return Person(user.name, user.role, session=digest)
        return self.local(request)

    def check(self, name: str, password: str) -> Person | None:
        """Who has this name and password. Takes a twentieth of a second, on purpose.

        Raises:
            Refused: too many were tried.
        """
        from argon2 import PasswordHasher  # noqa: PLC0415 - only where somebody signs in
        from argon2.exceptions import Argon2Error, InvalidHashError  # noqa: PLC0415

        if wait := self._wait(name):
            raise Refused("rate-limited", f"too many passwords were tried; try again in {wait:.0f} s")
        user = (self.users.now() or {}).get(name)
        try:
            PasswordHasher().verify((user and user.password) or _NOBODY, password)
        except (Argon2Error, InvalidHashError):
            return None
        if user is None or not user.password:
            return None
        with self._lock:
            self._tries.pop(name, None)
        return Person(user.name, user.role)

    def _wait(self, name: str) -> float:
        with self._lock:
            buckets = self._tries.pop(name, None) or [Bucket(_AGAIN_PER_SECOND) for _ in range(_BURST)]
            self._tries[name] = buckets
            if len(self._tries) > _NAMES:
                self._tries.popitem(last=False)
            now = time.monotonic()
            waits = []
            for bucket in buckets:
                wait = bucket.take(now)
                if not wait:
                    return 0
                waits.append(wait)
            return min(waits)


def new_session(person: Person) -> tuple[SignedIn, int, int]:
    """A session with its beginning and its end, microseconds; to be recorded with :mod:`app.store.sql.sessions`."""
    token = secrets.token_urlsafe(32)
    now = time.time_ns() // 1_000
    signed = SignedIn(token, Person(person.name, person.role, session=_digest(token)))
    return signed, now, now + SESSION_SECONDS * 1_000_000


def require_own_page(request: Request) -> None:
    """Check that a request that changes something comes from one of the console's own pages.

    Raises:
        Refused: it does not, or its browser does not tell.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site == "same-origin":
            return
    else:
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc == request.headers.get("host"):
            return
    raise Refused("forbidden", "this did not come from a page of this console; nothing was changed")


def needs_tls(request: Request) -> bool:
    """Whether the cookie is to be sent over TLS only: everywhere but on this machine."""
    return not is_loopback(urlsplit(f"//{request.headers.get('host', '')}").hostname or "")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
