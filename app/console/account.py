"""Signing in and out, by password or through a provider of OpenID Connect, and one's own password."""

from __future__ import annotations

import logging
from functools import partial

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.console import pages
from app.console.door import COOKIE, SESSION_SECONDS, Door, needs_tls, new_session
from app.console.oidc import CALLBACK, NotSignedIn, Provider, Unreachable
from app.console.roles import Person
from app.console.users import create_user, known_by, set_password, set_role
from app.console.visit import Visit, form_of
from app.problems import Refused
from app.recording.ledger import Ledger
from app.settings import Settings
from app.store.contract import Desk
from app.store.sql import case_events, sessions
from app.telemetry.logs import FIELDS
from models.errors import InvalidInput

#: Passwords hashed at once: each takes 64 MiB.
_HASHING = 2
_SHORTEST, _LONGEST = 10, 200
#: Sign-ins at once that wait for the provider.
_WAITING = 4
#: What a browser keeps between leaving for the provider and coming back, and for how many seconds at most.
_AWAY, _AWAY_SECONDS = "counterfoil_oidc", 600
_log = logging.getLogger(__name__)


class Account:
    """The pages of who somebody is."""

    def __init__(self, door: Door, settings: Settings) -> None:
        self._door, self._path = door, settings.users_file
        self._limiter, self._asking = CapacityLimiter(_HASHING), CapacityLimiter(_WAITING)
        self._provider = Provider(settings) if settings.oidc_issuer else None

    async def check(self) -> None:
        """Say where the provider cannot be asked."""
        if self._provider is not None:
            await run_sync(self._provider.check, limiter=self._asking)

    async def sign_in(self, request: Request, desk: Desk, ledger: Ledger) -> Response:
        """Begin a session."""
        form = await form_of(request)
        name, password = (form.get(field, [""])[0] for field in ("name", "password"))
        person = None
        if name and len(name) <= _LONGEST and len(password) <= _LONGEST:
            person = await run_sync(self._door.check, name, password, limiter=self._limiter)
        if person is None:
            return self.sign_in_page(request, 401, "This name and password do not belong together.")
        return await _signed_in(request, desk, ledger, person, "sign in", pages.PREFIX)

    def sign_in_page(self, request: Request, status: int = 200, trouble: str = "", subject: str = "") -> Response:
        """The ways to sign in; where there is none yet, how to make a user.

        Args:
            subject: of somebody who has no user yet, to be handed on.
        """
        users = (self._door.users.now() or {}).values()
        return pages.respond(
            request,
            "sign-in.html",
            status,
            trouble=trouble,
            subject=subject,
            passwords=any(user.identity is None or user.password for user in users),
            provider=self._provider.host if self._provider else "",
            plain=needs_tls(request) and request.url.scheme == "http" and "x-forwarded-proto" not in request.headers,
            person=None,
        )

    async def go_to_provider(self, request: Request) -> Response:
        """Leave for the provider."""
        assert self._provider is not None  # or else there is no such page
        try:
            secret, address = await run_sync(self._provider.begin, limiter=self._asking)
        except NotSignedIn as error:
            return self._not_signed_in(request, error)
        response = RedirectResponse(address, 303)
        secure = needs_tls(request)
        response.set_cookie(_AWAY, secret, _AWAY_SECONDS, path=CALLBACK, secure=secure, httponly=True, samesite="lax")
        return response

    async def come_back(self, request: Request, desk: Desk, ledger: Ledger) -> Response:
        """Begin a session of whom the provider vouches for."""
        secret, query = request.cookies.get(_AWAY, ""), dict(request.query_params)
        try:
            person = await run_sync(self._vouched, secret, query, limiter=self._asking)
        except NotSignedIn as error:
            response = self._not_signed_in(request, error)
        else:
            response = await _signed_in(request, desk, ledger, person, "sign in", pages.PREFIX)
        response.delete_cookie(_AWAY, path=CALLBACK)
        return response

    def _vouched(self, secret: str, query: dict[str, str]) -> Person:
        provider = self._provider
        assert provider is not None  # or else there is no such page
        claims = provider.finish(secret, query)
        identity, role = provider.identity(claims), provider.role(claims)
        user = known_by(identity, self._door.users.now() or {})
        if user is None:
            if role is None:
                raise NotSignedIn(
                    "You have no user here; ask those who look after this console for one", identity.subject
                )
            name = provider.name(claims)
            try:
                create_user(self._path, name, role, identity)
            except InvalidInput:
                raise NotSignedIn("Somebody else has your name here; ask those who look after this console") from None
            return Person(name, role)
        if role is not None and role != user.role:
            set_role(self._path, user.name, role)
        return Person(user.name, role or user.role)

    def _not_signed_in(self, request: Request, error: NotSignedIn) -> Response:
        _log.warning("a sign-in failed", extra={FIELDS: {"why": str(error)}})
        return self.sign_in_page(request, 503 if isinstance(error, Unreachable) else 403, f"{error}.", error.subject)

    async def sign_out(self, visit: Visit) -> Response:
        """End the session."""
        await visit.write(partial(sessions.end, digest=visit.person.session))
        response = RedirectResponse(f"{pages.PREFIX}/sign-in", 303)
        response.delete_cookie(COOKIE, path=pages.PREFIX)
        return response

    async def page(self, visit: Visit) -> Response:
        """Who somebody is, and the form for another password."""
        return await self._page(visit, said=visit.one("said"))

    async def _page(self, visit: Visit, status: int = 200, trouble: str = "", said: str = "") -> Response:
        user = (self._door.users.now() or {}).get(visit.person.name)
        issuer = user.identity.issuer if user and user.identity and not user.password else ""
        return await visit.page("account.html", status, trouble=trouble, said=said, shortest=_SHORTEST, issuer=issuer)

    async def change(self, visit: Visit) -> Response:
        """Set another password; other sessions are over."""
        person, new = visit.person, visit.one("new")
        if person.local:
            raise Refused("bad-request", "the local user has no password")
        if not _SHORTEST <= len(new) <= _LONGEST:
            return await self._page(visit, 422, f"A password has at least {_SHORTEST} characters.")
        if await run_sync(self._door.check, person.name, visit.one("password"), limiter=self._limiter) is None:
            return await self._page(visit, 422, "That is not your password.")
        await run_sync(set_password, self._path, person.name, new, limiter=self._limiter)
        await visit.write(partial(sessions.end_all, name=person.name))
        where = f"{pages.PREFIX}/account?said=changed"
        return await _signed_in(visit.request, visit.desk, visit.ledger, person, "password", where)


async def _signed_in(request: Request, desk: Desk, ledger: Ledger, person: Person, action: str, where: str) -> Response:
    signed, now, end = new_session(person)

    def act(connection: Connection) -> None:
        sessions.begin(connection, signed.person.session, person.name, now, end)
        case_events.add(connection, now, person.name, action)

    await ledger.run(partial(desk.write, act))
    response = RedirectResponse(where, 303)
    response.set_cookie(
        COOKIE,
        signed.token,
        max_age=SESSION_SECONDS,
        path=pages.PREFIX,
        secure=needs_tls(request),
        httponly=True,
        samesite="lax",
    )
    return response
