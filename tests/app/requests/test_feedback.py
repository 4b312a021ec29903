"""POST /v1/feedback: what a label may be, what it changes, and when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from app.service import create_app
from app.settings import Settings
from app.store.open import open_store
from app.store.records import Decision, LabelEvent
from models.behaviour.layout import UNKNOWN
from tests.app.calls import CARDS, Client
from tests.app.recording.test_recorder import behaviour_of
from tests.app.records import changed, sent
from tests.app.traffic import Payments


@pytest.fixture
def behaving(payments: Payments, own_store: str) -> Iterator[FastAPI]:
    app = create_app(Settings(database_url=own_store), payments.scorer)
    yield app
    app.state.serving.close()


@pytest.fixture
def one(behaving: FastAPI, payments: Payments) -> tuple[Client, dict[str, Any]]:
    """A client, and a transaction that is recorded."""
    client, body = Client(behaving), json.loads(sent(payments, 1)[0])
    assert client.post("/v1/score", json=body).status_code == 200
    return client, body


def label(client: Client, **body: Any) -> Any:
    return client.post("/v1/feedback", json=body)


def test_a_payment_ahead_of_the_clock_can_be_labelled_at_once(
    behaving: FastAPI, payments: Payments, own_store: str
) -> None:
    """Its sender's clock is as far ahead as is borne; so may be that of whoever labels."""
    now = datetime.now(UTC).replace(microsecond=0)
    client, ahead = Client(behaving), now + timedelta(seconds=200)
    for name, known_at, recorded in (
        ("no time", None, ahead),
        ("this clock", now, ahead),
        ("their clock", ahead + timedelta(seconds=20), ahead + timedelta(seconds=20)),
    ):
        body = json.loads(changed(sent(payments, 1)[0], transaction_id=name, card_id=name, timestamp=iso(ahead)))
        body["merchant_id"] = name
        assert client.post("/v1/score", json=body).status_code == 200
        told = {"transaction_id": name, "label": "fraud"} | ({} if known_at is None else {"known_at": iso(known_at)})
        for _ in range(2):
            reply = label(client, **told)
            assert reply.status_code == 200, name
            assert reply.json()["known_at"] == iso(recorded)
        for far in (ahead - timedelta(seconds=301), now + timedelta(seconds=400)):
            assert label(client, **{**told, "known_at": iso(far)}).status_code in (409, 422)
    assert len(events(own_store)[1]) == 3


def iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def events(url: str) -> tuple[list[Decision], list[LabelEvent]]:
    store = open_store(url, read_only=True)
    found = list(store.log())
    store.close()
    return [e for e in found if isinstance(e, Decision)], [e for e in found if isinstance(e, LabelEvent)]


def test_a_label_is_recorded_once_and_can_be_replaced(one: tuple[Client, dict[str, Any]], own_store: str) -> None:
    client, body = one
    known = {"transaction_id": body["transaction_id"], "known_at": "2026-02-09T10:00:00.000007Z"}
    for verdict in ("fraud", "fraud", "disputed", "legitimate", "fraud"):
        reply = label(client, label=verdict, **known)
        assert reply.status_code == 200
        assert reply.json() == {**known, "label": verdict}
    _, labels = events(own_store)
    expected = [("fraud", 1), ("disputed", -1), ("legitimate", 0), ("fraud", 1)]
    assert [(event.label, event.change) for event in labels] == expected


def test_the_same_label_without_its_time_changes_nothing(one: tuple[Client, dict[str, Any]], own_store: str) -> None:
    client, body = one
    sent = {"transaction_id": body["transaction_id"], "label": "fraud"}
    first = label(client, **sent)
    assert label(client, **sent).json() == first.json()
    earlier = label(client, **sent, known_at="2026-02-09T10:00:00Z")
    assert earlier.json()["known_at"] == "2026-02-09T10:00:00Z"
    assert label(client, **sent).json() == earlier.json()
    assert label(client, **sent, known_at=first.json()["known_at"]).json() == first.json()
    assert label(client, **{**sent, "label": "disputed"}).json()["known_at"] > first.json()["known_at"]
    assert label(client, **sent).json()["known_at"] > first.json()["known_at"]
    _, labels = events(own_store)
    expected = [("fraud", 1), ("fraud", 0), ("fraud", 0), ("disputed", -1), ("fraud", 1)]
    assert [(event.label, event.change) for event in labels] == expected


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"transaction_id": "nobody"}, 404, None),
        ({"known_at": "2999-01-01T00:00:00Z"}, 422, "known_at"),
        ({"known_at": "2025-01-01T00:00:00Z"}, 409, "known_at"),
        ({"known_at": "2026-02-09"}, 422, "known_at"),
        ({"label": "frad"}, 422, "label"),
        ({"label": None}, 422, "label"),
        ({"more": 1}, 422, "more"),
        ({"transaction_id": CARDS[0]}, 422, "transaction_id"),
        ({"transaction_id": 7}, 422, "transaction_id"),
    ],
)
def test_any_other_label_is_refused_and_changes_nothing(
    one: tuple[Client, dict[str, Any]], own_store: str, changes: dict[str, Any], status: int, field: str | None
) -> None:
    client, body = one
    answer = label(client, **{"transaction_id": body["transaction_id"], "label": "fraud", **changes})
    assert answer.status_code == status
    kind = {404: "not-found", 409: "conflict", 422: "invalid-label"}[status]
    assert answer.json()["type"] == f"urn:counterfoil:problem:{kind}"
    assert [error["field"] for error in answer.json()["errors"]] == ([field] if field else [])
    assert CARDS[0] not in answer.text
    assert events(own_store)[1] == []


def test_a_query_is_refused(one: tuple[Client, dict[str, Any]]) -> None:
    assert one[0].post("/v1/feedback?reasons=1", json={}).json()["errors"][0]["field"] == "reasons"


def test_a_label_counts_once_the_delay_is_over(payments: Payments, behaving: FastAPI, own_store: str) -> None:
    client = Client(behaving)
    body = sent(payments, 1)[0]
    moment = datetime.fromisoformat(json.loads(body)["timestamp"])

    def pay(name: str, later: timedelta) -> None:
        at = (moment + later).isoformat()
        row = changed(body, transaction_id=name, merchant_id="new-shop", card_id=f"card-{name}", timestamp=at)
        assert client.post("/v1/score", content=row, headers={"Content-Type": "application/json"}).status_code == 200

    pay("a", timedelta())
    pay("b", timedelta(hours=1))
    assert label(client, transaction_id="a", label="fraud", known_at="2026-02-09T10:00:00Z").status_code == 200
    pay("c", timedelta(days=6))
    pay("d", timedelta(days=7, minutes=30))  # only the first is a week old
    pay("e", timedelta(days=7, hours=2))
    decisions, _ = events(own_store)
    shares = [behaviour_of(payments, decision)["merchant.fraud_share_1d"] for decision in decisions]
    assert shares == [0, 0, 0, 1 / (1 + UNKNOWN), 1 / (2 + UNKNOWN)]  # of so few, shrunk
