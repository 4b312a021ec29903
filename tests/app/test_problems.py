"""One error shape for the whole API, pinned for every class of error."""

from __future__ import annotations

import logging

import pytest
from starlette.requests import Request
from starlette.responses import Response

from app.problems import KINDS, Refused, problem
from app.routes import RawRoute
from app.service import create_app
from app.settings import Settings
from models.errors import InvalidBundle, InvalidInput
from models.scorer import Scorer
from tests.app.calls import CARDS, Client


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_one_shape(kind: str) -> None:
    body = problem(Refused(kind, "what failed"), "id-1").model_dump(mode="json")
    status, title = KINDS[kind]
    assert body == {
        "type": f"urn:counterfoil:problem:{kind}",
        "title": title,
        "status": status,
        "detail": "what failed",
        "errors": [],
        "request_id": "id-1",
    }


def test_an_error_of_the_input_is_the_callers_and_any_other_is_ours() -> None:
    assert problem(InvalidInput("line 1: blank"), "x").status == 422
    for error in (InvalidBundle("a", "b", CARDS[0]), KeyError(CARDS[0]), RuntimeError("/etc/passwd")):
        ours = problem(error, "x")
        assert ours.status == 500
        assert CARDS[0] not in ours.model_dump_json()
        assert "passwd" not in ours.model_dump_json()


def test_a_bug_is_a_problem_and_is_logged_without_values(
    settings: Settings, own_store: str, tiny_scorer: Scorer, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings.model_copy(update={"database_url": own_store}), tiny_scorer)

    async def broken(request: Request) -> Response:
        raise ZeroDivisionError(f"secret {CARDS[0]}")

    app.router.routes.insert(0, RawRoute("/broken", broken, methods=["GET"]))
    with caplog.at_level(logging.ERROR, logger="counterfoil"):
        response = Client(app).get("/broken")
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["type"] == "urn:counterfoil:problem:internal-error"
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["request_id"] in caplog.text
    assert "ZeroDivisionError in broken (test_problems.py:" in caplog.text
    assert CARDS[0] not in caplog.text + response.text
    app.state.serving.close()


@pytest.mark.parametrize("own", ["abc", "A.b_c-9", "x" * 64])
def test_a_harmless_request_id_is_kept(client: Client, own: str) -> None:
    response = client.get("/healthz", headers={"X-Request-ID": own})
    assert response.headers["x-request-id"] == own


@pytest.mark.parametrize("own", ["", "x" * 65, "a b", "a\tb", "<a>", CARDS[0], f"x-{CARDS[2]}", "é"])
def test_any_other_request_id_is_replaced(client: Client, own: str) -> None:
    response = client.get("/nowhere", headers={"X-Request-ID": own.encode()})
    assert response.headers.get_list("x-request-id") == [response.json()["request_id"]]
    assert response.headers["x-request-id"] != own
    assert len(response.headers["x-request-id"]) == 24


def test_every_request_has_its_own_id(client: Client) -> None:
    ids = {client.get(path).headers["x-request-id"] for path in ("/healthz", "/readyz", "/docs", "/x", "/v1/model")}
    assert len(ids) == 5


def test_card_numbers_are_never_logged(
    client: Client, transaction: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    for card in CARDS:
        for field in transaction:
            client.post("/v1/score", json={**transaction, field: card})
            client.post("/v1/score/batch", json={"transactions": [{**transaction, field: card}]})
        client.post(f"/v1/score?reasons={card}", json=transaction, headers={"X-Request-ID": card})
        client.post("/v1/score/csv", content=f"{card}\n1\n", headers={"Content-Type": "text/csv"})
    own = [record.getMessage() for record in caplog.records if not record.name.startswith(("httpx", "httpcore"))]
    assert not any(card in message for card in CARDS for message in own)
