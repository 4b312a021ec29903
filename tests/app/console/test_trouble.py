"""Whatever goes wrong in the console is a page with words, and with the id to ask its operator about."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.service import create_app
from app.settings import Settings
from app.store.sql import cases
from tests import servers
from tests.app.calls import Client
from tests.app.console.conftest import HERE, Desktop, Office
from tests.app.traffic import Payments
from tests.private_servers import missing


async def _fails(_request: Request) -> Response:
    raise RuntimeError("a secret of the caller")


def _not_found(office: Office) -> httpx.Response:
    return office.local().get("/nowhere")


def _not_that_method(office: Office) -> httpx.Response:
    return office.client.request("PUT", "/console/models", headers=HERE)


def _forbidden(office: Office) -> httpx.Response:
    return office.user("ana").get("/audit")


def _lost(office: Office) -> httpx.Response:
    ana, ben, case = office.user("ana"), office.user("ben"), office.queue()[0]
    ana.send(f"/alerts/{case.id}/take")
    return ben.send(f"/alerts/{case.id}/release")


def _too_large(office: Office) -> httpx.Response:
    return office.local().send("/rules/test", text="x" * (300 << 10))


def _no_store(office: Office) -> httpx.Response:
    office.desk.write(lambda connection: connection.execute(text("DROP TABLE cases")))
    return office.local().get("")


def _bug(office: Office) -> httpx.Response:
    office.app.router.routes.insert(0, Route("/console/bug", _fails))
    return office.local().get("/bug")


@pytest.mark.parametrize(
    ("ask", "status", "words"),
    [
        (_not_found, 404, "There is no such page"),
        (_not_that_method, 405, "does not take this method"),
        (_forbidden, 403, "The role analyst may not do this"),
        (_lost, 409, "Ana holds this alert"),
        (_too_large, 413, "bytes"),
        (_no_store, 503, "The store cannot be read or written now"),
        (_bug, 500, "The service failed"),
    ],
)
def test_an_error_is_a_page_with_its_request_id(
    office: Office, ask: Callable[[Office], httpx.Response], status: int, words: str
) -> None:
    answer = ask(office)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert words in answer.text
    assert f"Request {answer.headers['x-request-id']}" in answer.text
    assert "secret" not in answer.text


def test_errors_of_the_api_stay_problems(office: Office) -> None:
    office.app.router.routes.insert(0, Route("/consoles", _fails))
    for path in ("/v1/nowhere", "/consoles"):
        assert office.client.get(path).headers["content-type"] == "application/problem+json"


def test_pages_are_counted_under_their_own_routes(office: Office) -> None:
    office.local().get(f"/alerts/{office.queue()[0].id}")
    page = office.client.get("/metrics").text
    routes = {
        sample.labels["route"]
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "counterfoil_requests_total"
    }
    assert "/console/alerts/{case}" in routes


def test_on_redis_there_is_no_console_and_its_pages_say_why(payments: Payments, tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        missing("redis-server")
    settings = Settings(
        artifacts=payments.artifacts,
        database_url=servers.redis(),
        users_file=tmp_path / "users.json",
        keys_file=tmp_path / "keys.json",
        rules_file=tmp_path / "rules.toml",
    )
    app = create_app(settings, payments.scorer)
    try:
        local = Desktop(Client(app))
        for answer in (local.get(""), local.get("/sign-in"), local.get("/lists"), local.send("/next")):
            assert answer.status_code == 404
            assert "keeps its log in Redis" in answer.text
        assert local.get("/static/console.css").status_code == 200
    finally:
        app.state.serving.close()


def test_a_count_that_is_cut_says_so() -> None:
    from app.console.pages import many

    assert [many(cases.MOST_COUNTED - 1), many(cases.MOST_COUNTED)] == ["999", "1,000+"]
