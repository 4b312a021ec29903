"""States of one declaration are neither read nor written by a process that serves another, and it says so."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import psycopg
import pytest

from app.recording.rebuild import read_base, read_saved
from app.recording.state_bytes import to_bytes, to_state
from app.service import create_app
from app.settings import Settings
from app.store.errors import OtherStates, StoreUnavailable
from app.store.open import open_store
from app.store.records import Origin, SavedState
from tests import private_servers
from tests.app.calls import Client
from tests.app.records import sent, till
from tests.app.store.events import append, decision, key, look
from tests.app.traffic import Payments

OTHER = "0f" * 32
A = key("a")


@pytest.fixture
def shared() -> Iterator[str]:
    """URL of a store that several processes may share."""
    with private_servers.redis() as server:
        yield server.url


def begin_anew(url: str) -> None:
    """As a process does whose model has other sections."""
    with closing(open_store(url)) as store:
        store.begin(Origin(OTHER), [], store.origin())


def test_a_state_says_what_it_was_made_under() -> None:
    state = np.arange(5, dtype=np.int64)
    saved = to_bytes(state, OTHER)
    assert (to_state(saved, OTHER) == state).all()
    for spec in ("f0" * 32, "0f" * 15 + "00" * 17):
        with pytest.raises(OtherStates, match=r"made for a model with other \[entity\] sections"):
            to_state(saved, spec)


def test_saved_states_are_read_under_their_own_declaration_only(payments: Payments, own_store: str) -> None:
    with till(payments, own_store) as one:
        one.send(*sent(payments, 3))
        keys = [key for arrival in one.arrivals(*sent(payments, 3)) for key, _ in arrival.events]
        spec = one.engine.behaviour.spec
        one.recorder.states.save_all()
        store = one.recorder.store
        assert read_saved(store, spec, keys) and read_base(store, spec, keys)
        with pytest.raises(OtherStates):
            read_saved(store, OTHER, keys)
        with pytest.raises(OtherStates):
            read_base(store, OTHER, keys)


def test_a_shared_store_that_another_model_has_begun_anew_is_left_alone(payments: Payments, shared: str) -> None:
    first, second = sent(payments, 2)
    with till(payments, shared) as one, closing(open_store(shared)) as store:
        one.reply(first)
        begin_anew(shared)
        append(store, decision(None, A), states={A: b"another's"})
        log, seen = list(store.log()), look(store, keys=[A])
        for _ in range(2):
            with pytest.raises(OtherStates, match=r"begun anew for a model with other \[entity\] sections"):
                one.send(second)
            with pytest.raises(OtherStates):
                one.recorder.label(str(log[0].transaction_id), "fraud", None, 2_000_000_000_000_000, None)
            with pytest.raises(OtherStates):
                one.recorder.states.peek([A])
            with pytest.raises(OtherStates):
                one.recorder.try_store()
        assert list(store.log()) == log
        assert look(store, keys=[A]).states == seen.states == {A: SavedState(seen.states[A].seq, b"another's")}


def test_a_shared_store_that_was_emptied_is_not_gone_on_with(payments: Payments, shared: str) -> None:
    from redis import Redis

    first, second = sent(payments, 2)
    with till(payments, shared) as one:
        one.reply(first)
        with Redis.from_url(shared) as client:
            client.flushdb()
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match=r"the store was emptied; put back .* or restart"):
                    one.send(second)
                with pytest.raises(StoreUnavailable, match="the store was emptied"):
                    one.recorder.try_store()
            assert not [name for name in client.scan_iter("*") if b"seq" not in name]
    with till(payments, shared) as again:
        again.reply(second)


@pytest.mark.parametrize("on_failure", ["refuse", "score"])
def test_a_worker_that_does_not_match_is_not_ready(
    payments: Payments, shared: str, on_failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.model_validate(
        {"artifacts": payments.artifacts, "database_url": shared, "on_store_failure": on_failure}
    )
    app = create_app(settings, payments.scorer)
    client = Client(app)
    try:
        first, second = map(json.loads, sent(payments, 2))
        assert client.post("/v1/score", json=first).json()["logged"]
        assert client.get("/readyz").status_code == 200
        begin_anew(shared)
        answer = client.post("/v1/score", json=second)
        assert (answer.status_code == 503) if on_failure == "refuse" else not answer.json()["logged"]
        for _ in range(2):
            assert client.get("/readyz").status_code == 503
        assert "the store's states have begun anew for a model with other [entity] sections" in caplog.text
    finally:
        app.state.serving.close()


def test_an_owner_that_lost_its_store_for_a_while_makes_its_states_anew(payments: Payments, own_store: str) -> None:
    """Another process had the store, with another model, and wrote nothing but states."""
    some = sent(payments, 6)
    with till(payments, own_store) as one, till(payments, own_store + "-plain") as plain:
        one.send(*some[:3])
        one.recorder.states.save_all()
        one.recorder.store.begin(Origin(OTHER), [], one.recorder.store.origin())
        assert one.send(*some[3:]) == [plain.send(body)[0] for body in some][3:]
        origin = one.recorder.store.origin()
        assert origin is not None and origin.spec == one.engine.behaviour.spec


def test_a_database_that_was_emptied_is_not_gone_on_with(payments: Payments) -> None:
    """The connection is lost with it; the next one leads to another, which is new."""
    first, second = sent(payments, 2)
    with private_servers.postgresql() as server, till(payments, server.url) as one:
        one.reply(first)
        name = server.url.rsplit("/", 1)[1].partition("?")[0]
        with psycopg.connect(server.url.replace(f"/{name}", "/template1"), autocommit=True) as beside:
            beside.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
            beside.execute(f"CREATE DATABASE {name}".encode())
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="the store was emptied"):
                one.send(second)
            with pytest.raises(StoreUnavailable, match="the store was emptied"):
                one.recorder.try_store()
        assert list(one.recorder.store.log()) == []


def test_an_older_copy_in_the_same_file_is_not_gone_on_with(payments: Payments, own_store: str, tmp_path: Path) -> None:
    some = sent(payments, 4)
    file, backup = own_store.removeprefix("sqlite:///"), tmp_path / "backup.db"
    with till(payments, own_store) as one:
        one.send(*some[:2])
        with closing(sqlite3.connect(file)) as used, closing(sqlite3.connect(backup)) as copy:
            used.backup(copy)
            newer = sqlite3.connect(":memory:")
            one.reply(some[2])
            used.backup(newer)
            copy.backup(used)
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="lacks what was recorded: an older copy took its place"):
                    one.reply(some[3])
                with pytest.raises(StoreUnavailable, match="an older copy"):
                    one.recorder.try_store()
            newer.backup(used)
            newer.close()
        one.reply(some[3])
    with till(payments, own_store + "-plain") as plain:
        same = plain.send(*some)
    with till(payments, own_store) as again:
        assert again.send(*some) == same
