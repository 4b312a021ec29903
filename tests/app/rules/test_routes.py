"""Lists and rules over HTTP, and a file of rules that changes while the service runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from app.rules.changing import change
from app.rules.lists import Lists
from app.service import create_app
from app.settings import Settings
from app.store.open import open_store
from app.store.records import ListChange
from models.scorer import Scorer
from tests import private_servers
from tests.app.calls import CARDS, Client, renewed

RULE = "format = 1\n[[rule]]\nname = 'any'\noutcome = 'review'\nwhen = 'amount >= 0.0'\nnote = 'all of them'\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rules.toml"


@pytest.fixture
def app(tiny_scorer: Scorer, own_store: str, path: Path) -> Iterator[FastAPI]:
    app = create_app(Settings(database_url=own_store, rules_file=path), tiny_scorer)
    yield app
    app.state.serving.close()


def look(app: FastAPI) -> None:
    asyncio.run(app.state.rules.look())


def post(app: FastAPI, path: str, **body: Any) -> dict[str, Any]:
    answer = Client(app).post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def entries(app: FastAPI, query: str = "") -> list[list[Any]]:
    page = Client(app).get(f"/v1/lists{query}").json()
    return [[one["list"], one["column"], one["value"]] for one in page["entries"]]


def test_what_is_listed_decides_and_is_told(app: FastAPI, transaction: dict[str, Any]) -> None:
    assert "rules" not in post(app, "/v1/score", **transaction)
    card, country = transaction["card_id"], transaction["country"]
    made = post(app, "/v1/lists/add", list="block", column="card_id", values=[card, "c-2", "c-2"], note="asked for")
    assert made == {"changed": 2, "number": 2}
    assert post(app, "/v1/lists/add", list="watch", column="country", values=[country], until="2h")["changed"] == 1
    reply = post(app, "/v1/score", **renewed(transaction))
    assert (reply["decision"], reply["rules"]) == ("decline", ["block:card_id", "watch:country"])
    assert reply["rules_version"] == "none.3"
    asked = Client(app).get(f"/v1/decisions/{reply['transaction_id']}").json()
    assert {name: asked[name] for name in ("decision", "model_decision", "rules", "rules_version")} == {
        name: reply[name] for name in ("decision", "model_decision", "rules", "rules_version")
    }
    assert entries(app) == [["watch", "country", country], ["block", "card_id", "c-2"], ["block", "card_id", card]]
    assert entries(app, f"?list=block&column=card_id&value={card}") == [["block", "card_id", card]]
    assert entries(app, f"?value={card}") == [["block", "card_id", card]]
    first = Client(app).get("/v1/lists?limit=2").json()
    assert [one["by"] for one in first["entries"]] == [None, None] and first["entries"][1]["note"] == "asked for"
    assert first["entries"][0]["until"] > first["entries"][0]["since"]
    rest = Client(app).get(f"/v1/lists?limit=2&cursor={first['next']}").json()
    assert (len(rest["entries"]), rest["next"]) == (1, None)
    assert post(app, "/v1/lists/remove", list="block", column="card_id", values=[card, "c-9"])["changed"] == 1
    assert post(app, "/v1/score", **renewed(transaction))["rules"] == ["watch:country"]
    assert 'counterfoil_rulings_total{rule="watch:country"} 2.0' in Client(app).get("/metrics").text


@pytest.mark.parametrize(
    ("body", "field", "told"),
    [
        ({"list": "grey"}, "list", "expected one of allow, block, watch, snooze"),
        ({"column": "amount"}, "column", "amount is no column with texts; expected one of card_id, merchant_id"),
        ({"column": 3}, "column", "it is no column with texts"),
        ({"values": []}, "values", "expected a list of 1 to 1,000 values"),
        ({"values": "c-1"}, "values", "expected a list of 1 to 1,000 values"),
        ({"values": ["c-1", 7]}, "values.1", "not a string"),
        ({"values": [CARDS[0]]}, "values.0", "card number"),
        ({"until": "yesterday"}, "until", "expected a time to come"),
        ({"until": "2020-01-01T00:00:00Z"}, "until", "expected a time to come"),
        ({"list": "snooze"}, "until", "missing: who is snoozed is snoozed until a time"),
        ({"note": f"stolen: {CARDS[1]}"}, "note", "looks like a card number"),
        ({"note": 5}, "note", "string"),
        ({"colour": "red"}, "colour", "unknown"),
    ],
)
def test_what_cannot_be_listed_is_refused(app: FastAPI, body: dict[str, Any], field: str, told: str) -> None:
    whole = {"list": "block", "column": "card_id", "values": ["c-1"], **body}
    answer = Client(app).post("/v1/lists/add", json=whole)
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (422, "urn:counterfoil:problem:invalid-list")
    assert [error["field"] for error in problem["errors"]] == [field] and told in problem["errors"][0]["message"]
    assert not any(card in answer.text for card in CARDS)
    assert entries(app) == []


@pytest.mark.parametrize(
    "query", ["?list=grey", "?column=amount", "?value=", "?limit=0", "?cursor=x", "?colour=red", "?limit=1&limit=2"]
)
def test_a_wrong_query_is_refused(app: FastAPI, query: str) -> None:
    answer = Client(app).get(f"/v1/lists{query}")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:counterfoil:problem:invalid-query")


def test_rules_are_followed_and_wrong_ones_change_nothing(
    app: FastAPI, path: Path, transaction: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    look(app)
    assert Client(app).get("/v1/rules").json()["rules"] == []
    path.write_text(RULE, encoding="utf-8")
    look(app)
    told = Client(app).get("/v1/rules").json()
    assert [rule["name"] for rule in told["rules"]] == ["any"]
    assert (told["trouble"], told["names"]["amount"], told["names"]["block"]) == ("", "number", "columns")
    reply = post(app, "/v1/score", **renewed(transaction))
    assert (reply["decision"], reply["rules"]) == ("review", ["any"])
    assert reply["rules_version"] == f"{told['version']}.0"
    path.write_text(RULE.replace("amount", "amuont"), encoding="utf-8")
    look(app)
    wrong = Client(app).get("/v1/rules").json()
    assert "rule any: when, line 1, column 1: there is no amuont" in wrong["trouble"]
    assert "The rules before stay in force" in caplog.text
    assert "counterfoil_rules_refused 1.0" in Client(app).get("/metrics").text
    assert post(app, "/v1/score", **renewed(transaction))["rules_version"] == reply["rules_version"]
    path.unlink()
    look(app)
    gone = Client(app).get("/v1/rules").json()
    assert (gone["version"], gone["since"], gone["trouble"]) == (None, None, "")
    assert "rules" not in post(app, "/v1/score", **renewed(transaction))


def test_a_start_with_wrong_rules_goes_on_with_those_before(
    tiny_scorer: Scorer, own_store: str, path: Path, transaction: dict[str, Any]
) -> None:
    settings = Settings(database_url=own_store, rules_file=path)
    for text, version in ((RULE, None), ("format = 1", "that of RULE")):
        path.write_text(text, encoding="utf-8")
        app = create_app(settings, tiny_scorer)
        try:
            told = Client(app).get("/v1/rules").json()
            reply = post(app, "/v1/score", **renewed(transaction))
        finally:
            app.state.serving.close()
        assert (reply["decision"], reply["rules"]) == ("review", ["any"])
        assert bool(told["trouble"]) == (version is not None)


def test_a_running_service_takes_changes_over_by_itself(app: FastAPI, path: Path, transaction: dict[str, Any]) -> None:
    async def run() -> None:
        async with app.router.lifespan_context(app):
            path.write_text(RULE, encoding="utf-8")
            begun = time.monotonic()
            while app.state.serving.ledger.recorder.rulebook.rules is None:
                assert time.monotonic() - begun < 30
                await asyncio.sleep(0.05)

    asyncio.run(run())


def test_cards_are_listed_under_their_pseudonyms(
    tiny_scorer: Scorer, own_store: str, tmp_path: Path, transaction: dict[str, Any]
) -> None:
    secret = tmp_path / "pseudonym.key"
    secret.write_bytes(bytes(range(32)))
    secret.chmod(0o600)
    settings = Settings(database_url=own_store, pseudonymise="card_id", pseudonym_key_file=secret)
    app = create_app(settings, tiny_scorer)
    try:
        card = transaction["card_id"]
        post(app, "/v1/lists/add", list="block", column="card_id", values=[card])
        ((_, _, kept),) = entries(app, f"?column=card_id&value={card}")
        assert kept.startswith("pn_") and entries(app, f"?column=card_id&value={kept}")
        assert post(app, "/v1/score", **renewed(transaction))["rules"] == ["block:card_id"]
        assert post(app, "/v1/lists/remove", list="block", column="card_id", values=[kept])["changed"] == 1
        assert post(app, "/v1/score", **renewed(transaction))["rules"] == []
        masked = {"list": "block", "column": "country", "values": ["NL"], "note": "411111******1111"}
        assert Client(app).post("/v1/lists/add", json=masked).status_code == 422
    finally:
        app.state.serving.close()


def test_what_another_process_lists_counts_here(tiny_scorer: Scorer, transaction: dict[str, Any]) -> None:
    with private_servers.redis("--appendonly", "no") as server:
        app = create_app(Settings(database_url=server.url), tiny_scorer)
        try:
            with closing(open_store(server.url)) as other:
                change(other, Lists(), [ListChange(0, 1, "block", "card_id", transaction["card_id"])])
            assert "rules" not in post(app, "/v1/score", **transaction)
            look(app)
            assert post(app, "/v1/score", **renewed(transaction))["rules"] == ["block:card_id"]
        finally:
            app.state.serving.close()
