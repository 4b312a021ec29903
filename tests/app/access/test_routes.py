"""Every route of the application with every kind of key: taken from its route table, so that new ones are included."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute

from app.access.guard import Access, guard
from app.access.key_changes import create_key, revoke_key
from app.access.keyring import Keyring
from app.access.keys import Scope
from app.docs_page import POLICY
from app.service import create_app
from app.settings import Settings
from app.store.open import open_store
from app.store.records import Decision, LabelEvent
from models.scorer import Scorer
from tests.app.calls import Client, exchange

SCOPES: tuple[Scope, ...] = get_args(Scope)
DOCS = "/docs"


@dataclass(frozen=True)
class Keyed:
    """The service with keys: of each scope alone, of all others, a slow one, and two that are good no more."""

    app: FastAPI
    only: Mapping[Access, str]
    without: Mapping[Access, str]
    slow: str
    expired: str
    revoked: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keyed")


@pytest.fixture(scope="module")
def keyed(folder: Path, tiny_scorer: Scorer) -> Iterator[Keyed]:
    path = folder / "keys.json"
    only: dict[Access, str] = {scope: create_key(path, f"{scope}-er", [scope])[1] for scope in SCOPES}
    without: dict[Access, str] = {
        scope: create_key(path, f"no-{scope}", [other for other in SCOPES if other not in (scope, "admin")])[1]
        for scope in SCOPES
    }
    _, slow = create_key(path, "slow", ["read"], rate=1 / 3_600)
    _, expired = create_key(path, "expired", ["admin"], lifetime=timedelta(0))
    made, revoked = create_key(path, "revoked", ["admin"])
    revoke_key(path, made.id)
    settings = Settings(database_url=f"sqlite:///{folder / 'store.db'}", keys_file=path, max_batch=50)
    app = create_app(settings, tiny_scorer)
    yield Keyed(app, only, without, slow, expired, revoked)
    app.state.serving.close()


def calls(app: FastAPI, *, pages: bool = False) -> list[tuple[Access, str, str]]:
    """(what the path asks, method, path that leads there) of every route of the API, or of the console's pages."""
    found: list[tuple[Access, str, str]] = []
    for route in app.routes:
        assert isinstance(route, Route | Mount)
        path = route.path.replace("/{name}", "/favicon.png")
        for name in route.param_convertors:
            path = path.replace(f"{{{name}}}", "x").replace(f"{{{name}:path}}", "x")
        methods = sorted(route.methods or ()) if isinstance(route, Route) else ["GET"]
        found += [(app.state.access[route.path], method, path) for method in methods]
    return [one for one in found if (one[0] == "session") == pages]


def ask(app: FastAPI, method: str, path: str, *headers: tuple[str, str]) -> httpx.Response:
    return Client(app).request(method, path, headers=list(headers))


def bearer(key: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {key}"


def test_every_route_and_nothing_else_is_declared(keyed: Keyed) -> None:
    paths = {route.path for route in keyed.app.routes if isinstance(route, Route | Mount)}
    assert paths == set(keyed.app.state.access)
    assert {need for need, _, _ in calls(keyed.app)} >= {"score", "read", "feedback", "metrics", "any key", "open"}


async def _endpoint(_request: Request) -> Response:
    return Response()


@pytest.mark.parametrize("route", [Route("/v1/new", _endpoint), WebSocketRoute("/v1/score", _endpoint)])
def test_a_route_that_nothing_is_declared_for_is_refused(route: Route | WebSocketRoute, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing says who may call this route"):
        guard([route], {"/v1/score": "score"}, Keyring(tmp_path / "keys.json", 0))


@pytest.mark.parametrize(
    "kind",
    ["no key", "no scheme", "other scheme", "no whole key", "elsewhere", "two", "unknown", "wrong", "expired",
     "revoked"],
)  # fmt: skip
def test_without_a_good_key_every_route_but_the_open_ones_is_closed(keyed: Keyed, kind: str) -> None:
    admin = keyed.only["admin"]
    headers: dict[str, list[tuple[str, str]]] = {
        "no key": [],
        "no scheme": [("Authorization", admin)],
        "other scheme": [("Authorization", f"Basic {admin}")],
        "no whole key": [bearer(admin[:-1])],
        "elsewhere": [("X-API-Key", admin), ("Cookie", f"key={admin}")],
        "two": [bearer(admin), bearer(admin)],
        "unknown": [bearer("cf_00000000_" + admin[12:])],
        "wrong": [bearer(admin[:12] + keyed.only["read"][12:])],
        "expired": [bearer(keyed.expired)],
        "revoked": [bearer(keyed.revoked)],
    }
    for need, method, path in calls(keyed.app):
        reply = ask(keyed.app, method, path, *headers[kind])
        if need == "open":
            assert reply.status_code == 200, path
            continue
        assert reply.status_code == 401, (method, path)
        challenge = "Bearer" if kind in ("no key", "elsewhere") else 'Bearer error="invalid_token"'
        assert reply.headers["www-authenticate"] == challenge
        assert reply.headers["content-type"] == "application/problem+json"
        if method != "HEAD":
            assert reply.json()["type"] == "urn:counterfoil:problem:unauthorized"
            assert reply.json()["request_id"] == reply.headers["x-request-id"]
        assert admin[12:] not in reply.text


def test_no_key_opens_a_page_of_the_console(keyed: Keyed) -> None:
    found = calls(keyed.app, pages=True)
    assert len(found) > 15
    for _, method, path in found:
        reply = ask(keyed.app, method, path, bearer(keyed.only["admin"]), ("Sec-Fetch-Site", "same-origin"))
        if reply.status_code == 303:
            assert reply.headers["location"] == "/console/sign-in", path
        else:
            assert path in ("/console/sign-in", "/console/static/favicon.png", "/console/x"), path
            assert reply.status_code in (200, 401, 404), path


def test_a_key_without_the_scope_is_refused_on_every_route(keyed: Keyed) -> None:
    for need, method, path in calls(keyed.app):
        if need not in SCOPES:
            continue
        reply = ask(keyed.app, method, path, bearer(keyed.without[need]))
        assert reply.status_code == 403, (method, path)
        assert reply.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{need}"'
        assert reply.json()["type"] == "urn:counterfoil:problem:forbidden"


def test_a_key_with_the_scope_is_admitted_on_every_route(keyed: Keyed) -> None:
    for need, method, path in calls(keyed.app):
        keys = [keyed.only["admin"]]
        keys += [keyed.only[need]] if need in SCOPES else list(keyed.only.values())
        for key in keys:
            assert ask(keyed.app, method, path, bearer(key)).status_code not in (401, 403, 429), (method, path)


def test_without_a_file_of_keys_every_route_is_open(client: Client, app: FastAPI) -> None:
    for _, method, path in calls(app):
        assert client.request(method, path).status_code not in (401, 403, 429), (method, path)


def test_a_key_is_held_to_its_rate(keyed: Keyed) -> None:
    first, second = (ask(keyed.app, "GET", "/v1/model", bearer(keyed.slow)) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.json()["type"] == "urn:counterfoil:problem:rate-limited"
    assert 3_500 <= int(second.headers["retry-after"]) <= 3_600
    assert ask(keyed.app, "GET", "/v1/model", bearer(keyed.only["read"])).status_code == 200


def test_nothing_of_the_body_is_read_before_the_key(keyed: Keyed) -> None:
    key = f"Bearer {keyed.only['read']}"
    for headers, status in (({}, 401), ({"Authorization": key}, 403)):
        for path in ("/v1/score", "/v1/score/batch", "/v1/score/csv", "/v1/feedback"):
            done = asyncio.run(exchange(keyed.app, path, [b"{", b"}"], headers))
            assert (done.status, done.taken) == (status, 0)


def test_the_client_is_recorded(keyed: Keyed, folder: Path, transaction: dict[str, Any]) -> None:
    client = Client(keyed.app)
    score = {"headers": dict([bearer(keyed.only["score"])])}
    assert client.post("/v1/score", json=transaction, **score).status_code == 200
    other = {**transaction, "transaction_id": transaction["transaction_id"] + "-b"}
    assert client.post("/v1/score/batch", json={"transactions": [other]}, **score).status_code == 200
    label = {"transaction_id": transaction["transaction_id"], "label": "fraud"}
    feedback = {"headers": dict([bearer(keyed.only["feedback"])])}
    assert client.post("/v1/feedback", json=label, **feedback).status_code == 200
    store = open_store(f"sqlite:///{folder / 'store.db'}", read_only=True)
    events = list(store.log())
    store.close()
    assert [event.caller for event in events if isinstance(event, Decision)][-2:] == ["score-er"] * 2
    assert [event.caller for event in events if isinstance(event, LabelEvent)] == ["feedback-er"]


def test_the_document_says_what_each_operation_asks(keyed: Keyed, client: Client) -> None:
    document = ask(keyed.app, "GET", "/openapi.json", bearer(keyed.only["feedback"])).json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    needs = {path.replace(":path}", "}"): need for path, need in keyed.app.state.access.items()}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if needs[path] == "open":
                assert operation["security"] == []
                assert not {"401", "403", "429"} & set(operation["responses"])
            else:
                assert operation["security"] == [{"key": [] if needs[path] == "any key" else [needs[path]]}]
                assert {"401", "403", "429"} <= set(operation["responses"])
    assert "security" not in json.dumps(client.get("/openapi.json").json())  # none is asked for without keys


def test_every_answer_has_the_security_headers(keyed: Keyed, client: Client) -> None:
    answers = [ask(keyed.app, method, path) for _, method, path in calls(keyed.app)]
    answers += [client.get("/nowhere"), client.get("/v1/score"), client.post("/v1/score", json={})]
    answers += [client.get("/v1/model"), client.get("/openapi.json")]
    for answer in answers:
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        policy = POLICY if answer.url.path == DOCS else "default-src 'none'; frame-ancestors 'none'"
        assert headers.get_list("content-security-policy") == [policy]


def test_every_page_of_the_console_has_headers_of_its_own(keyed: Keyed) -> None:
    for _, method, path in calls(keyed.app, pages=True):
        headers = ask(keyed.app, method, path).headers
        (policy,) = headers.get_list("content-security-policy")
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert len(headers.get_list("cache-control")) == 1
        assert ("no-store" in headers["cache-control"]) == ("/static/" not in path)


def test_no_other_origin_is_let_in(keyed: Keyed, client: Client) -> None:
    origin = ("Origin", "https://shop.example")
    preflight = (origin, ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "content-type"))
    for app in (keyed.app, client.app):
        for need, method, path in calls(app):
            asked = ask(app, "OPTIONS", path, *preflight)
            assert asked.status_code == 405, path
            answered = ask(app, method, path, origin, *([bearer(keyed.only[need])] if need in SCOPES else []))
            for reply in (asked, answered):
                assert not [name for name in reply.headers if name.startswith("access-control-")]
