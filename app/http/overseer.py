"""What a connection asks of, and tells, who watches over all connections of the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from starlette.types import ASGIApp
from uvicorn._types import ASGI3Application

from app.admission import Refusal
from app.http.limits import Limits
from app.http.told import Told

Connection_contra = TypeVar("Connection_contra", contravariant=True)


class Overseer(Protocol[Connection_contra]):
    """Who measures; :class:`app.http.edge.Edge` in the service.

    Attributes:
        limits: of the process.
        told: counts connections that were closed.
    """

    @property
    def limits(self) -> Limits: ...
    @property
    def told(self) -> Told: ...

    def let_in(self, path: str, app: ASGI3Application, waited: float, whole: bool, taken: bool) -> ASGIApp:
        """What answers a request for a path that came so many seconds ago: the application, or a refusal.

        Args:
            taken: whether :meth:`refused` has let it in when it came.
        """

    @property
    def crowded(self) -> bool:
        """Whether so many wait for their answers that others have to wait until they are read."""

    def refused(self, waited: float) -> Callable[[], Refusal] | None:
        """What refuses a request for scores that came so many seconds ago; None where it is to wait to be read."""

    def opened(self, connection: Connection_contra) -> None:
        """There is one more."""

    def enters(self, connection: Connection_contra) -> None:
        """Its first bytes are here: it reads them when it is called back."""

    def heard(self, connection: Connection_contra) -> None:
        """Something came from it."""

    def rests(self, connection: Connection_contra) -> None:
        """Everything it asked for is answered."""

    def blocked(self, connection: Connection_contra) -> None:
        """It does not take its answer as fast as it is made."""

    def lingers(self, connection: Connection_contra) -> None:
        """It is answered, and what it still sends is thrown away."""

    def closed(self, connection: Connection_contra) -> None:
        """It is gone."""
