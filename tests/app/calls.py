"""Ways to send a request to an application without a server."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.types import Message

#: Luhn-valid test numbers of the card networks.
CARDS = ("4111111111111111", "5555555555554444", "378282246310005", "4222222222222", "6011000990139424")


_ids = itertools.count(1)


def renewed(transaction: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Another transaction: the same values but for the changes, under an id that was never used."""
    return {**transaction, "transaction_id": f"own-{next(_ids)}", **changes}


class Client:
    """Sends requests to an application in this process. What it does not handle itself is raised here.

    Attributes:
        app: the application.
    """

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def request(self, method: str, path: str, **content: Any) -> httpx.Response:
        """One request; ``content`` as httpx takes it."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **content)

        return asyncio.run(send())

    def get(self, path: str, **content: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **content)

    def post(self, path: str, **content: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", path, **content)


@dataclass
class Exchange:
    """One request sent to the application without a server, message by message."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    taken: int = 0

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


async def exchange(app: FastAPI, path: str, parts: list[bytes], headers: dict[str, str]) -> Exchange:
    """Send a body in parts, as a chunked upload arrives, and note how many were taken."""
    result = Exchange()
    pending = iter(parts)

    async def receive() -> Message:
        data = next(pending, None)
        if data is None:
            return {"type": "http.disconnect"}
        result.taken += 1
        return {"type": "http.request", "body": data, "more_body": result.taken < len(parts)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            result.status = message["status"]
            result.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            result.body += message.get("body", b"")
            result.complete = not message.get("more_body", False)

    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "server": ("test", 80),
        "client": ("test", 1),
        "state": {},
    }
    await app(scope, receive, send)
    return result
