"""Transactions that arrive together are scored together, each with its own answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.service import create_app
from app.settings import Settings
from models.rows import Batch
from models.scorer import Scorer, Scores
from tests.app.calls import Client, Exchange, exchange

JSON = {"Content-Type": "application/json"}


class CountingScorer(Scorer):
    """Notes the size of every run, and fails when told to."""

    runs: list[int]
    broken = False

    def score(self, batch: Batch) -> Scores:
        """Score, or fail."""
        self.runs.append(len(batch))
        if self.broken:
            raise RuntimeError("out of order")
        return super().score(batch)


@pytest.fixture
def scorer(tiny_scorer: Scorer) -> CountingScorer:
    scorer = CountingScorer(tiny_scorer.bundle)
    scorer.runs = []
    return scorer


def test_a_crowd_is_scored_in_few_runs_and_nobody_gets_anothers_answer(
    scorer: CountingScorer, client: Client, transaction: dict[str, Any]
) -> None:
    app = create_app(Settings(), scorer)
    bodies = [{**transaction, "transaction_id": f"t{number}", "amount": number + 0.5} for number in range(400)]

    async def all_at_once() -> list[Exchange]:
        calls = (exchange(app, "/v1/score?reasons=1", [json.dumps(body).encode()], JSON) for body in bodies)
        return list(await asyncio.gather(*calls))

    replies = [result.json() for result in asyncio.run(all_at_once())]
    assert [reply["transaction_id"] for reply in replies] == [body["transaction_id"] for body in bodies]
    assert sum(scorer.runs) == 400
    assert len(scorer.runs) < 20
    assert max(scorer.runs) <= 256
    for body, reply in list(zip(bodies, replies, strict=True))[::40]:
        alone = client.post("/v1/score?reasons=1", json=body).json()
        assert reply["score"] == pytest.approx(alone["score"], rel=1e-9)
        assert reply["reasons"][0]["feature"] == alone["reasons"][0]["feature"]


def test_a_failure_reaches_all_who_wait_and_passes(scorer: CountingScorer, transaction: dict[str, Any]) -> None:
    app = create_app(Settings(), scorer)
    body = [json.dumps(transaction).encode()]

    async def two() -> list[int]:
        calls = (exchange(app, "/v1/score", body, JSON) for _ in range(2))
        return [result.status for result in await asyncio.gather(*calls)]

    scorer.broken = True
    assert asyncio.run(two()) == [500, 500]
    scorer.broken = False
    assert asyncio.run(two()) == [200, 200]


def test_one_who_left_does_not_harm_the_others(scorer: CountingScorer, transaction: dict[str, Any]) -> None:
    app = create_app(Settings(), scorer)
    body = [json.dumps(transaction).encode()]

    async def one_leaves() -> int:
        leaving = asyncio.create_task(exchange(app, "/v1/score", body, JSON))
        staying = asyncio.create_task(exchange(app, "/v1/score", body, JSON))
        await asyncio.sleep(0)
        leaving.cancel()
        return (await staying).status

    assert asyncio.run(one_leaves()) == 200
