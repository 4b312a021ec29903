"""Signing in and out, and one's own password."""

from __future__ import annotations

from functools import partial

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.console import pages
from app.console.door import COOKIE, SESSION_SECONDS, Door, needs_tls, new_session
from app.console.roles import Person
from app.console.users import set_password
from app.console.visit import Visit, form_of
from app.problems import Refused
from app.recording.ledger import Ledger
from app.settings import Settings
from app.store.contract import Desk
from app.store.sql import case_events, sessions

#: Passwords hashed at once: each takes 64 MiB.
_HASHING = 2
_SHORTEST, _LONGEST = 10, 200


class Account:
    """The pages of who somebody is."""

    def __init__(self, door: Door, settings: Settings) -> None:
        self._door, self._path = door, settings.users_file
        self._limiter = CapacityLimiter(_HASHING)

    async def sign_in(self, request: Request, desk: Desk, ledger: Ledger) -> Response:
        """Begin a session."""
        form = await form_of(request)
        name, password = (form.get(field, [""])[0] for field in ("name", "password"))
        person = None
        if name and len(name) <= _LONGEST and len(password) <= _LONGEST:
            person = await run_sync(self._door.check, name, password, limiter=self._limiter)
        if person is None:
            return sign_in_page(request, self._door, 401, "This name and password do not belong together.")
        return await _signed_in(request, desk, ledger, person, "sign in", "/console")

    async def sign_out(self, visit: Visit) -> Response:
        """End the session."""
        await visit.write(partial(sessions.end, digest=visit.person.session))
        response = RedirectResponse(f"{pages.PREFIX}/sign-in", 303)
        response.delete_cookie(COOKIE, path=pages.PREFIX)
        return response

    async def page(self, visit: Visit) -> Response:
        """Who somebody is, and the form for another password."""
        return visit.page("account.html", trouble="", said=visit.one("said"), shortest=_SHORTEST)

    async def change(self, visit: Visit) -> Response:
        """Set another password; other sessions are over."""
        person, new = visit.person, visit.one("new")
        if person.local:
            raise Refused("bad-request", "the local user has no password")
        if not _SHORTEST <= len(new) <= _LONGEST:
            trouble = f"A password has at least {_SHORTEST} characters."
            return visit.page("account.html", 422, trouble=trouble, said="", shortest=_SHORTEST)
        if await run_sync(self._door.check, person.name, visit.one("password"), limiter=self._limiter) is None:
            trouble = "That is not your password."
            return visit.page("account.html", 422, trouble=trouble, said="", shortest=_SHORTEST)
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


def sign_in_page(request: Request, door: Door, status: int = 200, trouble: str = "") -> Response:
    """The form to sign in on; where there is no user yet, how to make one."""
    plain = needs_tls(request) and request.url.scheme == "http" and "x-forwarded-proto" not in request.headers
    return pages.respond(
        request, "sign-in.html", status, trouble=trouble, nobody=not door.users.now(), plain=plain, person=None
    )
