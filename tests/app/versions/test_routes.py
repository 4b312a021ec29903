"""The registry over HTTP: what there is, in what two differ, what serves and served, and changing it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from fastapi import FastAPI

from app.access.key_changes import create_key
from app.reload.crew import Crew, Word
from app.reload.follower import Follower
from app.service import create_app
from app.settings import Settings
from models.registry import Registry
from models.scorer import Scorer
from tests.app.calls import Client
from tests.app.reload.versions import Offline, copied, damaged
from tests.command_line import Cli

REPORT = "ab" * 32


@pytest.fixture
def registry(nameless: Registry, tmp_path: Path) -> Registry:
    """One's own, with two versions; the first is active."""
    return copied(nameless, tmp_path)


@pytest.fixture
def app(registry: Registry, own_store: str) -> Iterator[FastAPI]:
    settings = Settings(artifacts=registry.root, database_url=own_store)
    app = create_app(settings, Scorer.load(registry.resolve(None)))
    yield app
    app.state.serving.close()


def post(app: FastAPI, path: str, **body: Any) -> httpx.Response:
    return Client(app).post(f"/v1/models/{path}", json=body)


def send(app: FastAPI, body: bytes) -> bytes:
    return Client(app).post("/v1/score?reasons=2", content=body, headers={"Content-Type": "application/json"}).content


def test_the_api_and_the_command_tell_the_same(app: FastAPI, registry: Registry, own_store: str, cli: Cli) -> None:
    old, new = registry.versions()
    bad = damaged(registry, new)
    client, where = Client(app), ("--artifacts", registry.root)
    told = client.get("/v1/models").json()
    assert (told["serving"], told["next"]) == (old, None)
    assert [(one["version"], one["active"]) for one in told["versions"]] == [(old, True), (new, False), (bad, False)]
    assert all(f"{one['rows']:,}" in cli("models", *where).out for one in told["versions"] if one["rows"])
    shown = client.get(f"/v1/models/{new}").json()
    assert shown["version"] == new
    assert shown["training"]["fingerprint"] in cli("models", "show", new, *where).out
    found = client.get(f"/v1/models/{new}/diff").json()
    assert (found["one"], found["other"]) == (new, old)
    lines = [f"{one['name']}: {one['one']} | {one['other']}" for one in found["differences"]]
    assert lines == cli("models", "diff", new, old, *where).out.splitlines()
    assert client.get(f"/v1/models/{new}/diff?other={new}").json()["differences"] == []
    verified = [client.get(f"/v1/models/{name}/verify").json()["damaged"] for name in (old, bad)]
    assert verified[0] is None and verified[1] is not None
    assert verified[1] in cli("models", "verify", bad, *where).err
    served = client.get("/v1/models/at?time=0s").json()
    assert (served["version"], served["before"]) == (old, None)
    assert f"{old}, since {served['since']}" in cli("models", "at", "0s", "--database", own_store).out


def test_an_activation_is_answered_once_it_serves_and_is_in_the_log(
    app: FastAPI, registry: Registry, tiny_frame: pl.DataFrame
) -> None:
    old, new = registry.versions()
    offline = Offline(registry, [old, new])
    sent = offline.bodies(tiny_frame.head(4))
    first = [send(app, body) for body in sent]
    changed = post(app, f"{new}/activate", report=REPORT)
    assert changed.status_code == 200
    assert {**changed.json(), "served": None} == {
        "version": new, "state": "serving", "why": "", "before": old, "served": None,
    }  # fmt: skip
    assert [send(app, body) for body in sent] == offline.replies(new, sent, 2)
    *_, last = app.state.serving.ledger.recorder.store.activations()
    assert (last.version, last.before, last.by, last.report) == (new, old, None, REPORT)
    assert changed.json()["served"]["report"] == REPORT
    back = post(app, "rollback")
    assert (back.status_code, back.json()["version"], back.json()["before"]) == (200, old, new)
    assert [send(app, body) for body in sent] == first == offline.replies(old, sent, 2)
    assert registry.active() == old


def test_who_activated_is_the_keys_name(registry: Registry, own_store: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    _, admin = create_key(keys, "alice", ["admin"])
    _, reader = create_key(keys, "bob", ["read", "score", "feedback"])
    settings = Settings(artifacts=registry.root, database_url=own_store, keys_file=keys)
    app = create_app(settings, Scorer.load(registry.resolve(None)))
    try:
        path = f"/v1/models/{registry.versions()[1]}/activate"
        refused = Client(app).post(path, json={}, headers={"Authorization": f"Bearer {reader}"})
        assert refused.status_code == 403
        done = Client(app).post(path, json={}, headers={"Authorization": f"Bearer {admin}"})
        assert (done.status_code, done.json()["served"]["by"]) == (200, "alice")
    finally:
        app.state.serving.close()


def test_what_cannot_serve_is_refused_in_words_and_nothing_changes(app: FastAPI, registry: Registry) -> None:
    old, new = registry.versions()
    bad = damaged(registry, new)
    for path, status, why in (
        (f"{bad}/activate", 409, "detector.onnx: failed check 'sha256'"),
        ("20990101T000000Z-00000000/activate", 404, "no such model version; GET /v1/models lists"),
        ("rollback", 409, "nothing served before"),
    ):
        refused = post(app, path)
        assert (refused.status_code, why in refused.json()["detail"]) == (status, True), refused.text
    wrong = post(app, f"{new}/activate", report="AB")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "report")
    assert Client(app).post(f"/v1/models/{new}/activate").status_code == 415  # as a page of another origin would
    for path in ("at", "at?time=yesterday", f"{new}/diff?others=x", f"{new}?x=1"):
        assert Client(app).get(f"/v1/models/{path}").status_code == 422
    assert Client(app).get("/v1/models/at?time=2020-01-01T00:00:00Z").status_code == 404
    assert registry.active() == old
    assert Client(app).get("/readyz").json()["next"] is None


def test_a_service_that_follows_nothing_says_so(registry: Registry, own_store: str) -> None:
    old, new = registry.versions()
    settings = Settings(artifacts=registry.root, database_url=own_store, model=old)
    app = create_app(settings, Scorer.load(registry.folder(old)))
    try:
        refused = post(app, f"{new}/activate")
        assert refused.status_code == 409 and "COUNTERFOIL_MODEL" in refused.json()["detail"]
        assert registry.active() == old
    finally:
        app.state.serving.close()


def test_it_waits_until_the_other_processes_answer_with_it(app: FastAPI, registry: Registry, tmp_path: Path) -> None:
    old, new = registry.versions()
    said = [(7, Word(old, serves=old))]
    (folder := tmp_path / "crew").mkdir()
    asked = threading.Event()

    class Others(Crew):
        def others(self) -> Iterator[tuple[int, Word]]:
            asked.set()
            return iter(said)

    state = app.state
    follower = Follower(Settings(artifacts=registry.root), state.serving, state.serving._metrics, Others(folder))

    async def change() -> list[str]:
        task = asyncio.create_task(follower.activate(new))
        seen = []
        for word in (Word(new, serves=old), Word(new, serves=new)):
            asked.clear()
            while not asked.is_set():
                await asyncio.sleep(0.001)
            assert not task.done()
            seen.append(state.serving.generation.scorer.manifest.version)
            said[:] = [(7, word)]
        return [*seen, await task]

    assert asyncio.run(change())[::2] == [old, ""]
    assert state.serving.generation.scorer.manifest.version == new
