"""The response of ``POST /v1/score/csv``: reads the upload, scores it and sends the result, all at the same time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.beside import Beside
from app.problems import Refused
from app.requests.bodies import limited_stream
from app.upload.scoring import CsvScoring
from app.upload.spool import Spool
from models.errors import CounterfoilError
from models.familiarity import unfamiliar

#: Bytes of the upload taken to a worker thread at once.
_PIECE = 1 << 20
log = logging.getLogger("counterfoil")


class CsvResponse(Response):
    """Streams the scored CSV. A failure before the first byte becomes a problem; one after it breaks the connection
    without the closing chunk, so that no client can take the part for the whole.

    Args:
        request: its body is the CSV.
        scoring: does the work.
        max_bytes: largest upload.
        beside: does it so that payments are not kept waiting.
    """

    media_type = "text/csv"

    def __init__(self, request: Request, scoring: CsvScoring, max_bytes: int, beside: Beside) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._request = request
        self._scoring = scoring
        self._max_bytes = max_bytes
        self._beside = beside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with Spool() as spool:
            pump = asyncio.create_task(self._pump(spool))
            try:
                data = await spool.get()
                if not data:
                    await pump  # raises what went wrong
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                while data:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                    data = await spool.get()
                if await self._complete(pump):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
            finally:
                pump.cancel()
                await asyncio.wait([pump])

    async def _complete(self, pump: asyncio.Task[None]) -> bool:
        try:
            await pump
        except ClientDisconnect:
            return False
        except (CounterfoilError, OSError) as error:
            reason = str(error) if isinstance(error, Refused | CounterfoilError) else error.strerror
            log.warning("request %s: the CSV was broken off: %s", self._request.state.request_id, reason)
            return False
        return True

    async def _pump(self, spool: Spool) -> None:
        try:
            piece = bytearray()
            async for data in limited_stream(self._request, self._max_bytes):
                piece += data
                if len(piece) >= _PIECE:
                    await self._hand_on(spool, self._scoring.feed(bytes(piece)))
                    piece.clear()
            await self._hand_on(spool, self._scoring.feed(bytes(piece)))
            await self._hand_on(spool, self._scoring.finish())
            for name in self._scoring.familiarity.news():
                log.warning("request %s: %s", self._request.state.request_id, unfamiliar(name))
        finally:
            spool.finish()

    async def _hand_on(self, spool: Spool, parts: Iterator[bytes]) -> None:
        while (data := await self._beside.run(lambda: next(parts, None))) is not None:
            if data:
                await spool.put(data)
