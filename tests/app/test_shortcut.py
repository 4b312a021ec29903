"""The short way of requests for scores answers as FastAPI does."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.shortcut import Service
from tests.app.calls import Client

_JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="session")
def long_way(app: FastAPI) -> Client:
    """The same service without its short way."""
    assert isinstance(app, Service)
    whole = FastAPI.build_middleware_stack(app)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await whole({**scope, "app": app}, receive, send)

    return Client(cast(FastAPI, answer))


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/v1/score", _JSON),
        ("POST", "/v1/score?reasons=2", _JSON),
        ("POST", "/v1/score?reasons=x", _JSON),
        ("POST", "/v1/score", {"Content-Type": "text/csv"}),
        ("POST", "/v1/score/batch", _JSON),
        ("POST", "/v1/score/", _JSON),
        ("GET", "/v1/score", {}),
        ("OPTIONS", "/v1/score", {}),
    ],
)
@pytest.mark.parametrize("broken", [False, True])
def test_both_ways_give_one_answer(
    client: Client,
    long_way: Client,
    transaction: dict[str, Any],
    method: str,
    path: str,
    headers: dict[str, str],
    broken: bool,
) -> None:
    body = json.dumps({"transactions": [transaction]} if "batch" in path else transaction)[broken:]
    headers = {**headers, "X-Request-ID": "both-ways"}
    first = client.request(method, path, content=body, headers=headers)  # the second answer is the stored one
    answers = [one.request(method, path, content=body, headers=headers) for one in (client, long_way)]
    short, long = ((one.status_code, dict(one.headers), one.content) for one in answers)
    assert short == long
    assert (first.status_code, first.content) == (short[0], short[2])
