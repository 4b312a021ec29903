"""/metrics tells what the service did: counted by what this test sent, no more and no less."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from app.drift.watcher import DriftWatcher
from app.gauges import sampling
from app.service import create_app
from app.settings import Settings
from app.store.open import open_store
from app.store.redis.store import RedisStore
from app.telemetry.metrics import STAGES, Metrics
from models.registry import Registry
from models.scorer import Scorer
from tests import servers
from tests.app.calls import CARDS, Client, exchange, renewed
from tests.app.records import sent
from tests.app.traffic import Payments
from tests.waiting import FAR, until

Values = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def app(tiny_model: Path, tiny_scorer: Scorer, own_store: str) -> Iterator[FastAPI]:
    """A service that has counted nothing yet."""
    app = create_app(Settings(artifacts=tiny_model.parent, database_url=own_store), tiny_scorer)
    yield app
    app.state.serving.close()


@pytest.fixture
def client(app: FastAPI) -> Client:
    """A client of it."""
    return Client(app)


def scraped(client: Client) -> Values:
    """Every sample of the page, by name and labels."""
    page = client.get("/metrics")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/plain; version=")
    return values(page.text)


def values(text: str) -> Values:
    """The samples of a page."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found: Values, name: str, **labels: str) -> float:
    """One sample; 0 where there is none."""
    return found.get((f"counterfoil_{name}", frozenset(labels.items())), 0.0)


def test_requests_are_counted_by_route_and_status(client: Client, transaction: dict[str, Any]) -> None:
    client.post("/v1/score", json=transaction)
    client.post("/v1/score", json={**renewed(transaction), "amount": "much"})
    client.post("/v1/score/batch", json={"transactions": [renewed(transaction)]})
    client.get("/v1/score")
    client.get("/healthz")
    found = scraped(client)
    assert of(found, "requests_total", route="/v1/score", status="200") == 1
    assert of(found, "requests_total", route="/v1/score", status="422") == 1
    assert of(found, "requests_total", route="/v1/score", status="405") == 1
    assert of(found, "requests_total", route="/v1/score/batch", status="200") == 1
    assert of(found, "requests_total", route="/healthz", status="200") == 1
    assert of(found, "request_duration_seconds_count", route="/v1/score") == 3
    assert of(scraped(client), "requests_total", route="/metrics", status="200") == 1


def test_no_path_that_is_asked_for_becomes_a_label(client: Client) -> None:
    for path in (f"/{CARDS[0]}", "/a/b?c=d", '/"quote', "/new%0Aline", "/%00", "/v1/score/", "/" + "x" * 5_000):
        assert client.get(path).status_code == 404
    found = scraped(client)
    assert of(found, "requests_total", route="other", status="404") == 7
    routes = {route for _, labels in scraped(client) if (route := dict(labels).get("route"))}
    assert routes == {"other", "/metrics"}


def test_a_client_that_goes_away_is_counted(app: FastAPI, client: Client) -> None:
    asyncio.run(exchange(app, "/v1/score", [], {"Content-Type": "application/json"}))
    assert of(scraped(client), "requests_total", route="/v1/score", status="499") == 1


def test_every_stage_is_timed_where_it_happens(client: Client, transaction: dict[str, Any]) -> None:
    rows = [renewed(transaction) for _ in range(3)]
    client.post("/v1/score", json=transaction)
    client.post("/v1/score/batch", json={"transactions": rows})
    client.post("/v1/score", content=b"{", headers={"Content-Type": "application/json"})
    found = scraped(client)
    counts = {stage: of(found, "stage_duration_seconds_count", stage=stage) for stage in STAGES}
    # A body that is no transaction is read once more: it may be one of an earlier schema.
    assert counts == {"validate": 4, "queue": 4, "lookup": 2, "features": 2, "score": 2, "log": 2}
    spent = {stage: of(found, "stage_duration_seconds_sum", stage=stage) for stage in STAGES}
    assert all(seconds > 0 for seconds in spent.values())
    whole = sum(of(found, "request_duration_seconds_sum", route=f"/v1/score{path}") for path in ("", "/batch"))
    assert sum(spent.values()) - spent["queue"] < whole


def test_decisions_scores_and_repeats(client: Client, tiny_scorer: Scorer, transaction: dict[str, Any]) -> None:
    odd = renewed(transaction, amount=99_999.0, country="KP", latitude=-89.0)
    replies = [client.post("/v1/score", json=row).json() for row in (transaction, odd, transaction)]
    assert client.post("/v1/score", json={**transaction, "amount": 1.25}).status_code == 409
    assert [reply["decision"] for reply in replies] == ["approve", "review", "approve"]
    found = scraped(client)
    assert of(found, "decisions_total", decision="approve") == 1
    assert of(found, "decisions_total", decision="review") == 1
    assert of(found, "decisions_total", decision="decline") == 0
    assert of(found, "transactions_total", outcome="recorded") == 2
    assert of(found, "transactions_total", outcome="repeated") == 1
    assert of(found, "transactions_total", outcome="refused") == 1
    assert of(found, "score_count") == 2
    assert of(found, "score_sum") == pytest.approx(sum(reply["score"] for reply in replies[:2]))
    assert of(found, "score_bucket", le="0.95") == sum(reply["score"] <= 0.95 for reply in replies[:2])
    assert of(found, "last_committed_seq") == 2
    threshold = tiny_scorer.manifest.threshold
    assert of(found, "promised_alert_ratio", bound="low") == threshold.alert_rate_low
    assert of(found, "promised_alert_ratio", bound="expected") == threshold.alert_rate
    assert of(found, "promised_alert_ratio", bound="high") == threshold.alert_rate_high
    assert of(found, "threshold_score") == threshold.score
    assert of(found, "model_info", version=tiny_scorer.manifest.version, policy="alert-rate") == 1


def test_another_model_takes_the_place_of_the_first(tiny_scorer: Scorer) -> None:
    metrics, threshold = Metrics(), tiny_scorer.manifest.threshold
    metrics.serves("one", threshold)
    metrics.serves("two", threshold)
    shown = [metrics.registry.get_sample_value("counterfoil_model_info", {"version": version, "policy": "alert-rate"})
             for version in ("one", "two")]  # fmt: skip
    assert shown == [0, 1]


def test_two_applications_do_not_count_together(client: Client, tiny_scorer: Scorer, tmp_path: Path) -> None:
    other = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'other.db'}"), tiny_scorer)
    client.get("/healthz")
    assert of(scraped(Client(other)), "requests_total", route="/healthz", status="200") == 0
    other.state.serving.close()


def test_states_are_measured(payments: Payments, own_store: str) -> None:
    app = create_app(Settings(artifacts=payments.artifacts, database_url=own_store), payments.scorer)
    client = Client(app)
    before = scraped(client)
    assert of(before, "unsaved_states") == of(before, "unsaved_events") == 0
    for body in sent(payments, 5):
        reply = client.post("/v1/score", content=body, headers={"Content-Type": "application/json"})
        assert reply.status_code == 200
    found = scraped(client)
    live = app.state.serving.ledger.recorder.states
    assert of(found, "live_states") == len(live) > 0
    assert of(found, "live_state_bytes") == live.bytes > 0
    assert of(found, "unsaved_states") == len(live.unsaved) > 0
    assert of(found, "unsaved_events") == 5
    assert of(found, "queue_depth") == 0
    app.state.serving.close()


def test_a_store_that_fails_is_seen_and_the_page_still_answers(
    client: Client, own_store: str, transaction: dict[str, Any]
) -> None:
    client.post("/v1/score", json=transaction)
    assert of(scraped(client), "store_healthy") == 1
    path = own_store.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert client.post("/v1/score", json=renewed(transaction)).status_code == 503
        found = scraped(client)
        assert of(found, "store_healthy") == 0
        assert of(found, "requests_total", route="/v1/score", status="503") == 1
        assert of(found, "last_committed_seq") == of(found, "decisions_total", decision="approve") == 1
    until(lambda: client.get("/readyz").status_code == 200, "a store that is used again")  # tried once a second
    assert client.post("/v1/score", json=renewed(transaction)).status_code == 200
    assert of(scraped(client), "store_healthy") == 1


def test_what_is_looked_at_while_the_service_runs(app: FastAPI, client: Client) -> None:
    metrics = Metrics()

    async def run() -> None:
        drift = DriftWatcher(app.state.serving, Registry(Path("nowhere")))
        async with asyncio.timeout(FAR), sampling(metrics, app.state.serving, drift):
            while not (
                metrics.registry.get_sample_value("counterfoil_event_loop_lag_seconds_count")
                and metrics.registry.get_sample_value("counterfoil_store_size_bytes")
            ):
                await asyncio.sleep(0.02)

    asyncio.run(run())
    assert metrics.registry.get_sample_value("counterfoil_store_healthy") == 1
    size = metrics.registry.get_sample_value("counterfoil_store_size_bytes")
    assert size is not None and size >= 4_096


def test_the_size_of_each_store(tmp_path: Path) -> None:
    file = tmp_path / "sized.db"
    store = open_store(f"sqlite:///{file}")
    assert store.size() == file.stat().st_size + file.with_name("sized.db-wal").stat().st_size
    store.close()
    with servers.postgresql() as url:
        store = open_store(url)
        assert store.size() > 1_000_000  # an empty database has its catalogue
        store.close()
    redis = RedisStore(servers.redis())
    assert redis.size() > 100_000
    redis.close()


def test_the_process_and_the_build(client: Client) -> None:
    found = scraped(client)
    assert found["process_resident_memory_bytes", frozenset()] > 10_000_000
    assert found["process_cpu_seconds_total", frozenset()] > 0
    (build,) = [dict(labels) for (name, labels) in found if name == "counterfoil_build_info"]
    assert build["version"] and build["python"].startswith("3.")


def test_open_metrics_for_those_who_ask_for_it(client: Client) -> None:
    page = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert page.headers["content-type"].startswith("application/openmetrics-text")
    assert page.text.endswith("# EOF\n")


def test_without_a_model_there_is_a_page_already(tmp_path: Path) -> None:
    client = Client(create_app(Settings(artifacts=tmp_path)))
    assert client.get("/readyz").status_code == 503
    assert of(scraped(client), "requests_total", route="/readyz", status="503") == 1
    assert json.loads(client.get("/readyz").text)["status"] == 503
