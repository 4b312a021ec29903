"""Filters of the queue that somebody saves under a name, each for themselves."""

from __future__ import annotations

from sqlalchemy import Connection
from starlette.responses import Response

from app.console.queue import Queue
from app.console.visit import Visit, go
from app.problems import Refused
from app.store.sql import saved_filters
from models.pan import contains_card_number

#: Filters of one person, and characters of a name.
MOST, LONGEST = 20, 40


class Filters:
    """Args: ``queue``: whose filters they are."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def save(self, visit: Visit) -> Response:
        """Save the filter in the form under a name, in place of what had it; or forget the one of that name."""
        name, forget = visit.one("name").strip(), visit.one("do") == "forget"
        if not 0 < len(name) <= LONGEST or not name.isprintable() or contains_card_number(name):
            raise Refused("bad-request", f"a name has 1 to {LONGEST} characters, and no card number among them")
        query = self._queue.query_of(visit)

        def act(connection: Connection) -> None:
            known = saved_filters.of(connection, visit.person.name)
            if forget:
                known.pop(name, None)
            else:
                known[name] = query
            if len(known) > MOST:
                raise Refused("conflict", f"{MOST} filters are saved already: forget one of them first")
            saved_filters.save(connection, visit.person.name, known)

        await visit.write(act)
        return go("" if forget else query)
