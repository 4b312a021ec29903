"""What is activated takes over in the running service: pinned requests, refused versions, what is told of them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from fastapi import FastAPI

from app.reload.crew import Crew, Word
from app.reload.follower import Follower
from app.service import create_app
from app.settings import Settings
from models.batch import score_table
from models.manifest import MANIFEST
from models.registry import Registry
from models.scorer import Scorer
from tests.app.calls import Client
from tests.app.faulty_store import FaultyStore, Stop
from tests.app.reload.versions import Offline, copied, damaged, point_at
from tests.waiting import until
from training.simulate import write


@pytest.fixture
def registry(nameless: Registry, tmp_path: Path) -> Registry:
    """One's own, with two versions; the first is active."""
    return copied(nameless, tmp_path)


@pytest.fixture
def app(registry: Registry, own_store: str) -> Iterator[FastAPI]:
    """A service that looks at the registry when it is told to."""
    settings = Settings(artifacts=registry.root, database_url=own_store)
    app = create_app(settings, Scorer.load(registry.resolve(None)))
    yield app
    app.state.serving.close()


def look(app: FastAPI) -> dict[str, Any]:
    """What ``/readyz`` says after a look at the registry."""
    asyncio.run(app.state.follower.look())
    ready = Client(app).get("/readyz")
    assert ready.status_code == 200
    found: dict[str, Any] = ready.json()
    return found


def send(app: FastAPI, body: bytes) -> bytes:
    """The answer to a transaction."""
    headers = {"Content-Type": "application/json"}
    return Client(app).post("/v1/score?reasons=3", content=body, headers=headers).content


def test_the_activated_version_answers_and_the_log_says_since_when(
    app: FastAPI, registry: Registry, tiny_frame: pl.DataFrame
) -> None:
    old, new = registry.versions()
    offline = Offline(registry, [old, new])
    sent = offline.bodies(tiny_frame.head(6))
    answers = [send(app, body) for body in sent[:3]]
    assert look(app) == {"status": "ready", "model_version": old, "logging": True, "next": None}
    registry.activate(new, by="alice", report="ab" * 32)
    assert look(app) == {"status": "ready", "model_version": new, "logging": True, "next": None}
    answers += [send(app, body) for body in sent[3:]]
    assert answers == offline.replies(old, sent[:3], 3) + offline.replies(new, sent[3:], 3)
    assert Client(app).get("/v1/model").json()["version"] == new
    first, second = app.state.serving.ledger.recorder.store.activations()
    assert (first.version, second.version, second.before, second.seq) == (old, new, old, 3)
    assert (second.by, second.report) == ("alice", "ab" * 32)
    text = Client(app).get("/metrics").text
    assert 'counterfoil_model_changes_total{outcome="done"} 1.0' in text
    registry.activate(old)
    assert look(app)["model_version"] == old
    assert send(app, sent[0]) == answers[0]


def test_a_damaged_version_leaves_the_old_one_serving_and_is_told(
    app: FastAPI, registry: Registry, tiny_frame: pl.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = registry.versions()
    offline = Offline(registry, [old])
    sent = offline.bodies(tiny_frame.head(3))
    bad = damaged(registry, new)
    for name, why in ((bad, "detector.onnx"), ("20990101T000000Z-00000000", "there is no such version")):
        point_at(registry, name)
        told = look(app)
        assert (told["model_version"], told["next"]["version"], told["next"]["state"]) == (old, name, "refused")
        assert why in told["next"]["why"]
        assert name in caplog.text and "the version that serves goes on" in caplog.text
        assert [send(app, body) for body in sent] == offline.replies(old, sent, 3)
        text = Client(app).get("/metrics").text
        assert "counterfoil_model_refused 1.0" in text
    assert 'counterfoil_model_changes_total{outcome="refused"} 2.0' in text
    assert [one.version for one in app.state.serving.ledger.recorder.store.activations()] == [old]
    (registry.root / bad / MANIFEST).write_bytes((registry.root / new / MANIFEST).read_bytes())
    point_at(registry, bad)  # mended, and activated again
    assert look(app) == {"status": "ready", "model_version": new, "logging": True, "next": None}
    assert "counterfoil_model_refused 0.0" in Client(app).get("/metrics").text


def test_a_batch_stays_with_the_version_it_began_with(
    app: FastAPI, registry: Registry, tiny_frame: pl.DataFrame
) -> None:
    old, new = registry.versions()
    offline = Offline(registry, [old, new])
    sent = offline.bodies(tiny_frame.head(400))
    batch = b'{"transactions":[' + b",".join(sent) + b"]}"
    headers = {"Content-Type": "application/json"}
    ledger, go = app.state.serving.ledger, threading.Event()

    async def both() -> tuple[bytes, bytes]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=None) as client:
            held = asyncio.create_task(ledger.run(go.wait))
            whole = asyncio.create_task(client.post("/v1/score/batch?reasons=0", content=batch, headers=headers))
            while ledger.waiting < 1:  # its first rows are in the queue
                await asyncio.sleep(0)
            registry.activate(new)
            change = asyncio.create_task(app.state.follower.look())
            while ledger.waiting < 2:  # and the change behind them
                await asyncio.sleep(0.001)
            go.set()
            await asyncio.gather(held, change)
            after = await client.post("/v1/score?reasons=0", content=sent[0], headers=headers)
            return (await whole).content, after.content

    found, after = asyncio.run(both())
    expected = b'{"model_version":"%b","results":[%b]}' % (old.encode(), b",".join(offline.replies(old, sent, 0)))
    assert found == expected
    assert after == offline.replies(new, sent[:1], 0)[0]
    seqs = {one.model_version: one.seq for one in ledger.recorder.store.log()}
    change = ledger.recorder.store.activations()[-1]
    assert 0 < change.seq < seqs[old]  # rows of the batch came after it


def test_a_long_csv_stays_with_the_version_it_began_with(
    app: FastAPI, registry: Registry, tiny_frame: pl.DataFrame, tmp_path: Path
) -> None:
    old, new = registry.versions()
    scorer = Scorer.load(registry.folder(old))
    source, target = tmp_path / "rows.csv", tmp_path / "scored.csv"
    write(tiny_frame.head(300), source)
    text = source.read_bytes()
    score_table(scorer, source, target, reasons=1)

    async def parts() -> AsyncIterator[bytes]:
        yield text[:9_000]
        registry.activate(new)
        await app.state.follower.look()
        yield text[9_000:]

    async def upload() -> bytes:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=None) as client:
            headers = {"Content-Type": "text/csv"}
            return (await client.post("/v1/score/csv?reasons=1", content=parts(), headers=headers)).content

    lines = asyncio.run(upload()).decode().splitlines()
    assert [line.removesuffix(",") for line in lines[1:]] == target.read_text().splitlines()[1:]
    assert look(app)["model_version"] == new


def test_nobody_changes_over_before_all_are_ready(app: FastAPI, registry: Registry, tmp_path: Path) -> None:
    old, new = registry.versions()
    said: list[tuple[int, Word]] = [(7, Word(None))]
    folder = tmp_path / "crew"
    folder.mkdir()

    class Others(Crew):
        def others(self) -> Iterator[tuple[int, Word]]:
            return iter(said)

    state = app.state
    state.follower = Follower(
        Settings(artifacts=registry.root), state.serving, state.serving._metrics, crew := Others(folder)
    )
    registry.activate(new)
    told = look(app)
    assert (told["model_version"], told["next"]["state"], told["next"]["why"]) == (old, "waiting", "for process 7")
    said[:] = [(7, Word(new, "detector.onnx: cannot be read"))]
    told = look(app)
    assert (told["model_version"], told["next"]["state"]) == (old, "refused")
    assert told["next"]["why"] == "process 7 cannot serve it: detector.onnx: cannot be read"
    registry.activate(new)
    said[:] = [(7, Word(new)), (8, Word(old))]
    assert look(app)["next"]["why"] == "for process 8"
    said[:] = [(7, Word(new)), (8, Word(new))]
    assert look(app) == {"status": "ready", "model_version": new, "logging": True, "next": None}
    assert crew.serves == registry.root / new
    assert json.loads(next(folder.glob("*.says")).read_text()) == {"version": new, "trouble": "", "serves": new}


def test_while_the_store_fails_nothing_changes(app: FastAPI, registry: Registry) -> None:
    old, new = registry.versions()
    states = app.state.serving.ledger.recorder.states
    store = states.store = FaultyStore(states.store, Stop(0, kept=False))
    registry.activate(new)
    asyncio.run(app.state.follower.look())
    succession = app.state.serving.succession
    assert (app.state.serving.generation.scorer.manifest.version, succession.state) == (old, "waiting")
    assert succession.why.startswith("for the store: ")
    store.mend()
    until(lambda: app.state.serving.ledger.healthy)
    assert look(app)["model_version"] == new
