"""The store on PostgreSQL: a server that goes away and comes back, and what it does with a commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import make_url

from app.store.contract import Store
from app.store.errors import StoreUnavailable
from app.store.open import open_store
from app.store.records import SavedState, View, Writes
from tests.app.store.conftest import Backend
from tests.app.store.events import append, decision, key, label, look
from tests.app.store.proxy import Proxy

A = key("a")


@pytest.fixture
def store(postgresql_backend: Backend) -> Iterator[Store]:
    found = postgresql_backend.open()
    yield found
    found.close()


@pytest.fixture
def beside(postgresql_backend: Backend) -> Iterator[psycopg.Connection]:
    """A connection of somebody else."""
    with psycopg.connect(postgresql_backend.url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def proxy(postgresql_backend: Backend) -> Iterator[Proxy]:
    url = make_url(postgresql_backend.url)
    with Proxy((url.host or "", url.port or 5432)) as found:
        yield found


@pytest.fixture
def behind(postgresql_backend: Backend, proxy: Proxy) -> Iterator[Store]:
    """A store behind the proxy."""
    url = make_url(postgresql_backend.url).set(port=proxy.port).update_query_dict({"sslmode": "disable"})
    found = open_store(url.render_as_string(hide_password=False))
    yield found
    found.close()


def terminate(connection: psycopg.Connection) -> None:
    """End all other connections to this database."""
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


def test_a_connection_that_died_meanwhile_is_replaced(store: Store, beside: psycopg.Connection) -> None:
    append(store, decision("t1", A), states={A: b"1"})
    terminate(beside)
    assert append(store, decision("t2", A), states={A: b"2"})[0].seq == 2
    terminate(beside)
    assert append(store, decision(None))[0].seq == 3  # nothing to look up first
    terminate(beside)
    assert store.last_seq() == 3
    assert len(list(store.log())) == 3


def test_a_connection_that_dies_under_work(store: Store, beside: psycopg.Connection) -> None:
    calls = 0

    def work(view: View) -> Writes:
        nonlocal calls
        calls += 1
        terminate(beside)
        return Writes(decisions=[decision("t1", seq=view.next_seq)], states={A: SavedState(1, b"1")})

    with pytest.raises(StoreUnavailable, match="PostgreSQL database counterfoil_test_"):
        store.transact(["t1"], [A], 1, work)
    assert calls == 1
    assert look(store, ["t1"], [A]) == View({}, {}, {}, 1)
    assert append(store, decision("t1"))[0].seq == 1


def test_who_lost_the_claim_waits_for_it(store: Store, beside: psycopg.Connection, postgresql_backend: Backend) -> None:
    append(store, decision("t1"))
    terminate(beside)
    other = postgresql_backend.open()
    append(other, decision("t2"))
    with pytest.raises(StoreUnavailable, match="another process owns this store"):
        append(store, decision("t3"))
    other.close()
    terminate(beside)
    assert append(store, decision("t3"))[0].seq == 3


def test_a_commit_that_the_server_refuses(store: Store, beside: psycopg.Connection) -> None:
    append(store, decision("t1", A), states={A: b"1"})
    beside.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the-callers-own-value'; END $$"
    )
    beside.execute(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON labels DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    with pytest.raises(StoreUnavailable, match=r"PostgreSQL reports P0001$"):
        append(store, decision("t2", A), label("t2"), states={A: b"2"}, watermark=2)
    assert look(store, ["t2"], [A]) == View({}, {}, {A: SavedState(1, b"1")}, 2)
    assert append(store, decision("t2", A))[0].seq == 2


def test_a_commit_whose_answer_was_lost_is_looked_up(behind: Store, proxy: Proxy) -> None:
    append(behind, decision("t1"))
    proxy.cut = b"COMMIT"
    append(behind, decision("t2", A), label("t2"), states={A: b"2"})
    assert proxy.cut is None
    assert append(behind, decision("t3"))[0].seq == 4
    assert [event.seq for event in behind.log()] == [1, 2, 3, 4]
    proxy.cut = b"INSERT INTO decisions"
    with pytest.raises(StoreUnavailable):
        append(behind, decision("t4"))
    assert append(behind, decision("t4"))[0].seq == 5


def test_a_server_that_is_stopped_and_started(behind: Store, proxy: Proxy) -> None:
    append(behind, decision("t1"))
    proxy.stop()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="is the server running") as caught:
            append(behind, decision("t2"))
        assert caught.value.__context__ is None
        with pytest.raises(StoreUnavailable):
            behind.find("t1")
    proxy.start()
    assert behind.find("t1") is not None
    assert append(behind, decision("t2"))[0].seq == 2


def test_a_table_that_somebody_holds_is_not_waited_for_without_end(
    postgresql_backend: Backend, beside: psycopg.Connection
) -> None:
    with closing(open_store(postgresql_backend.url, patience=0.2)) as store:
        append(store, decision("t1"))
        with beside.transaction():
            beside.execute("LOCK TABLE decisions")
            with pytest.raises(StoreUnavailable, match=r"55P03.*lock timeout"):
                append(store, decision("t2"))
        assert append(store, decision("t2"))[0].seq == 2


def test_durability_is_synchronous_commit(postgresql_backend: Backend) -> None:
    from app.store.sql.engines import postgresql_engine

    url = make_url(postgresql_backend.url)
    weak = url.update_query_dict({"options": "-csynchronous_commit=off"})
    strong = url.update_query_dict({"options": "-csynchronous_commit=local"})
    for place, durability, expected in ((weak, "full", "on"), (strong, "full", "local"), (url, "normal", "off")):
        engine = postgresql_engine(place, "full" if durability == "full" else "normal", False)
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == expected
        engine.dispose()
