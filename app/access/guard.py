"""Routes behind the keyring: each says what it asks of its caller, and asks before anything of the body is read."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import Literal

from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.access.keyring import Keyring, Need

#: What a route asks of its caller; "open" asks nothing, "session" looks itself who it is: the console's pages.
Access = Need | Literal["open", "session"]


class _Guarded:
    """An ASGI application for those who may; handlers find the caller's name in ``request.state.caller``."""

    def __init__(self, app: ASGIApp, need: Need, keyring: Keyring) -> None:
        self._app, self._need, self._keyring = app, need, keyring

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scope["state"]["caller"] = self._keyring.admit(scope["headers"], self._need)
        return self._app(scope, receive, send)


def guard(routes: Iterable[BaseRoute], access: Mapping[str, Access], keyring: Keyring) -> None:
    """Put every route behind what is declared for its path.

    Args:
        access: what each path, as the route spells it, asks of its caller.

    Raises:
        ValueError: a route without a declaration.
    """
    for route in routes:
        if not isinstance(route, Route | Mount) or route.path not in access:
            raise ValueError(f"{route!r}: nothing says who may call this route; declare it in app/routes.py")
        need = access[route.path]
        if need == "open" or need == "session":  # noqa: PLR1714 - so that the type of what is left is known
            continue
        route.app = _Guarded(route.app, need, keyring)
