"""What all connections of a process share: how many there may be, and until when each must have moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import islice, takewhile
from typing import Any, cast

from starlette.types import ASGIApp
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.server import ServerState

from app.admission import Admission, Refusal
from app.http.connection import Connection, Stage
from app.http.limits import Limits
from app.http.probes import ProbesOnly
from app.http.told import Told
from app.http.turns import Turns

#: Seconds in which a new connection is not closed to make room, so that its request has time to arrive.
_GRACE = 1.0
_ADVICE = "raise COUNTERFOIL_MAX_CONNECTIONS, now {}, and ulimit -n, which must be twice that and more"


class Edge:
    """Makes the connections of a process, for ``uvicorn.Config(http=...)``; closes those that are slow or too many.

    Where there is no room, the connection that waits longest for a request is closed, so that one that has a request
    gets in. Where all are busy, the last places are for probes.

    Args:
        limits: of the process.

    Attributes:
        open: connections that are open.
        told: counts those that were closed.
        admission: says whether requests for scores are let in; None where all are.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.told = Told()
        self.open: set[Connection] = set()
        #: Those that wait for the rest of a head, the longest first: since when.
        self._heads: dict[Connection, float] = {}
        #: Those between two requests, the longest first.
        self._resting: dict[Connection, None] = {}
        #: Those that send a body, or do not take their answer: when their time began, what had moved at the last look.
        self._moving: dict[Connection, tuple[float, int]] = {}
        #: Those that are answered and still send: since when.
        self._lingering: dict[Connection, float] = {}
        self._ticking = False
        self._turns = Turns()
        self._ends = False  # whether the application calls :meth:`end`
        self.admission: Admission | None = None

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Connection:
        """A connection, as uvicorn asks for it."""
        self.told.metrics = app_state.get("metrics", self.told.metrics)
        self.admission = app_state.get("admission", self.admission)
        if not self._ends:
            self._ends = True
            app_state.get("last", []).append(self.end)
        return Connection(self, config, server_state, app_state, _loop)

    def let_in(self, path: str, app: ASGI3Application, waited: float, whole: bool, taken: bool) -> ASGIApp:
        """What answers a request for a path: the application, or a refusal where more wait than can be answered."""
        application = cast(ASGIApp, app)
        if self.admission is None:
            return application
        return self.admission.let_in(path, application, waited, whole=whole, taken=taken)

    @property
    def crowded(self) -> bool:
        """Whether so many wait for their answers that others have to wait until they are read."""
        return self.admission is not None and self.admission.crowded

    def refused(self, waited: float) -> Callable[[], Refusal] | None:
        """What refuses a request for scores that came so many seconds ago; None where it is to wait to be read."""
        admission = self.admission
        return admission.refuse if admission is not None and admission.full(waited, len(self._turns)) else None

    def end(self) -> None:
        """Break off every connection that is left: the loop would not close beside one whose client still sends."""
        for connection in list(self.open):
            connection.transport.abort()

    # What connections tell.

    def opened(self, connection: Connection) -> None:
        """There is one more. Makes room for it, or turns it away."""
        now = connection.loop.time()
        if len(self.open) >= self.limits.connections - self.limits.reserved and not self._make_room(now):
            if len(self.open) >= self.limits.connections:
                self._no_room(now)
                connection.transport.abort()
                return
            connection.app = ProbesOnly(connection.app)
        self.open.add(connection)
        self._heads[connection] = now
        self._count()
        if not self._ticking:
            self._ticking = True
            connection.loop.call_later(self.limits.tick, self._tick, connection.loop)

    def enters(self, connection: Connection) -> None:
        """Its first bytes are here: let it read them when its turn comes."""
        self._turns.add(connection.loop, connection.enter)

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        self._forget(connection)
        self.open.discard(connection)
        self._count()

    def heard(self, connection: Connection) -> None:
        """Something came from it."""
        if connection.stage is Stage.BODY:
            self._heads.pop(connection, None)
            self._watch(connection)
        elif connection.stage is Stage.BETWEEN and (connection.answering or connection.resting):
            self._heads.pop(connection, None)
        else:
            self._heads.setdefault(connection, connection.loop.time())
        if connection.resting:
            self._resting[connection] = None
        else:
            self._resting.pop(connection, None)

    def rests(self, connection: Connection) -> None:
        """Everything it asked for is answered."""
        self._resting[connection] = None

    def blocked(self, connection: Connection) -> None:
        """It does not take its answer as fast as it is made."""
        self._watch(connection)

    def lingers(self, connection: Connection) -> None:
        """It is answered, and what it still sends is thrown away."""
        self._forget(connection)
        self._lingering[connection] = connection.loop.time()
        self._watch(connection)

    # What time tells.

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at every connection whose time may be over, in turns, and again a tick after the last."""
        for connection in self._late_heads(loop.time()):
            self._turns.add(loop, partial(self._look_at_head, connection))
        for connection in list(self._moving):
            self._turns.add(loop, partial(self._look_at_moves, connection))
        self._turns.add(loop, partial(self._tick_later, loop))

    def _tick_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ticking = bool(self.open)
        if self._ticking:
            loop.call_later(self.limits.tick, self._tick, loop)

    def _late_heads(self, now: float) -> list[Connection]:
        late = takewhile(lambda one: now - one[1] >= self.limits.head_seconds, self._heads.items())
        return [connection for connection, _ in late]

    def _look_at_head(self, connection: Connection) -> None:
        now = connection.loop.time()
        if now - self._heads.get(connection, now) < self.limits.head_seconds:
            return
        if connection.answering:
            del self._heads[connection]
            self._heads[connection] = now  # its time begins once it is answered
        else:
            self._let_go(connection, now)

    def _look_at_moves(self, connection: Connection) -> None:
        now = connection.loop.time()
        if connection in self._moving and self._stands_still(connection, now):
            self._let_go(connection, now)

    def _stands_still(self, connection: Connection, now: float) -> bool:
        """Whether it has used up its time: a byte that moves gives it back some, up to all of it."""
        since, moved = self._moving[connection]
        if now - self._lingering.get(connection, now) >= self.limits.linger_seconds:
            return True
        until, rate = connection.moved, self.limits.rate
        if connection.owed and rate:
            since = min(now, since + (until - moved) / rate)
            if now - since >= self.limits.rate_seconds:
                return True
        elif connection.owed or connection.stage is Stage.BODY:
            since = now
        else:
            del self._moving[connection]
            return False
        self._moving[connection] = since, until
        return False

    def _let_go(self, connection: Connection, now: float) -> None:
        self._forget(connection)
        if connection.lingering:
            connection.transport.abort()
        elif connection.stage is not Stage.BETWEEN and not connection.line.waiting:
            self.told.closed("slow-request", now)
            part = "head" if connection.stage is Stage.HEAD else "body"
            connection.refuse("request-timeout", f"the request's {part} did not come fast enough", linger=False)
        elif connection.answering or connection.line.waiting:
            self.told.closed("slow-reader", now)
            connection.line.reset()
        else:
            self.told.closed("silent", now)
            connection.transport.abort()

    # Room.

    def _make_room(self, now: float) -> bool:
        """Close a connection that waits for a request. False: all are busy."""
        victim = next((one for one in islice(self._heads, 64) if not one.busy), None)
        if self._resting and (victim is None or now - self._heads[victim] < _GRACE):
            victim = next(iter(self._resting))
        if victim is None:
            return False
        self._no_room(now)
        self._forget(victim)
        self.open.discard(victim)
        victim.transport.abort()
        return True

    def _no_room(self, now: float) -> None:
        self.told.closed("room", now, _ADVICE.format(f"{self.limits.connections:,}"))

    def _watch(self, connection: Connection) -> None:
        if connection not in self._moving:
            self._moving[connection] = connection.loop.time(), connection.moved

    def _forget(self, connection: Connection) -> None:
        self._heads.pop(connection, None)
        self._resting.pop(connection, None)
        self._moving.pop(connection, None)
        self._lingering.pop(connection, None)

    def _count(self) -> None:
        if self.told.metrics is not None:
            self.told.metrics.connections.set(len(self.open))
