"""The shared store: several processes at once, a server that goes away, what it promises to keep."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from app.store.contract import Store
from app.store.errors import BegunMeanwhile, StoreInUse, StoreUnavailable
from app.store.records import Decision, Origin, SavedState, View, Writes
from app.store.redis.store import RedisStore
from models.errors import InvalidInput
from tests import private_servers
from tests.app.store.conftest import Backend
from tests.app.store.events import append, decision, key, label, look
from tests.app.store.processes import python
from tests.app.store.proxy import Proxy
from tests.private_servers import DURABLE
from tests.waiting import FAR

A = key("a")

COUNTER = """
import sys
from app.store.records import SavedState, Writes
from app.store.redis.store import RedisStore
from tests.app.store.events import decision, key
A = key("a")
store = RedisStore(sys.argv[1], sys.argv[2])
def work(view):
    count = int(view.states[A].content) + 1 if A in view.states else 1
    event = decision(None, A, seq=view.next_seq, body=str(count))
    return Writes(decisions=[event], states={A: SavedState(view.next_seq, str(count).encode())})
print("ready", flush=True)
sys.stdin.readline()
for _ in range(200):
    store.transact([], [A], 1, work)
"""


@pytest.fixture
def store(redis_backend: Backend) -> Iterator[Store]:
    found = redis_backend.open()
    yield found
    found.close()


@contextmanager
def server(folder: Path, *options: str) -> Iterator[str]:
    """The URL of a server of the test's own; killed at the end."""
    with private_servers.redis(*options, folder=folder) as found:
        yield found.url


def test_no_update_of_two_processes_is_lost(redis_backend: Backend, store: Store) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(python(COUNTER, redis_backend.url, redis_backend.prefix)) for _ in range(2)]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.communicate("go\n", timeout=FAR)
            assert process.returncode == 0
    events = list(store.log(keys=[A]))
    assert look(store, keys=[A]).states == {A: SavedState(events[-1].seq, b"400")}
    assert [event.body for event in events if isinstance(event, Decision)] == [str(n) for n in range(1, 401)]


def test_threads_on_one_server(redis_backend: Backend, store: Store) -> None:
    names = [key(name) for name in "abc"]

    def count(first: int) -> None:
        mine = redis_backend.open()
        pair = [names[first], names[(first + 1) % 3]]

        def work(view: View) -> Writes:
            counts = {name: int(view.states[name].content) if name in view.states else 0 for name in pair}
            states = {name: SavedState(view.next_seq, str(number + 1).encode()) for name, number in counts.items()}
            return Writes(decisions=[decision(None, *pair, seq=view.next_seq)], states=states)

        for _ in range(40):
            mine.transact([], pair, 1, work)
        mine.close()

    threads = [threading.Thread(target=count, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {state.content for state in look(store, keys=names).states.values()} == {b"80"}
    assert len(list(store.log())) == 120


def test_work_is_done_again_with_new_places_where_another_got_in_between(redis_backend: Backend, store: Store) -> None:
    other = redis_backend.open()
    views: list[View] = []

    def work(view: View) -> Writes:
        views.append(view)
        if len(views) == 1:
            append(other, decision("t1", A), states={A: b"theirs"})
        event = [] if "t1" in view.known else [decision("t1", A, seq=view.next_seq)]
        return Writes(decisions=event, states={A: SavedState(view.next_seq, b"mine")})

    store.transact(["t1"], [A], 1, work)
    assert [(view.next_seq, set(view.known)) for view in views] == [(1, set()), (3, {"t1"})]
    assert views[1].states == {A: SavedState(2, b"theirs")}
    assert [event.seq for event in store.log()] == [2]
    other.close()


def test_states_that_begin_anew_under_another_process(redis_backend: Backend, store: Store) -> None:
    append(store, decision("t1", A), states={A: b"old"})
    other = redis_backend.open()
    other.begin(Origin("spec-2"), [(A, b"base")])
    assert look(store, keys=[A]).states == {A: SavedState(0, b"base")}

    def base() -> Iterator[tuple[tuple[str, bytes], bytes]]:
        other.begin(Origin("spec-3"), [], Origin("spec-2"))
        yield A, b"late"

    with pytest.raises(BegunMeanwhile, match="began anew at the same time"):
        store.begin(Origin("spec-4"), base(), Origin("spec-2"))
    assert (store.origin(), look(store, keys=[A]).states) == (Origin("spec-3"), {})
    with Redis.from_url(redis_backend.url) as client:  # nor is anything left of what came too late
        assert list(client.scan_iter(redis_backend.prefix.replace("[*]", r"\[\*\]") + "begun:*")) == []
    other.close()


def test_an_answer_that_was_lost_is_looked_up(redis_backend: Backend) -> None:
    with Proxy(("127.0.0.1", 6379)) as proxy:
        store = RedisStore(f"redis://127.0.0.1:{proxy.port}/0", redis_backend.prefix)
        proxy.cut = b"EXEC"
        append(store, decision(None, A), states={A: b"1"})
        assert proxy.cut is None
        assert len(list(store.log())) == 1
        proxy.cut = b"WATCH"
        with pytest.raises(StoreUnavailable, match="is the server running"):
            append(store, decision(None, A), states={A: b"2"})
        proxy.stop()
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as caught:
                append(store, decision("t2", A), states={A: b"2"})
            assert caught.value.__context__ is None
        proxy.start()
        append(store, decision("t2", A), states={A: b"2"})
        assert len(list(store.log())) == 2
        store.close()


def test_a_full_server_keeps_nothing_of_a_transaction(tmp_path: Path) -> None:
    with server(tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as url:
        store = RedisStore(url)
        append(store, decision("t1", A), states={A: b"1"})
        with Redis.from_url(url) as client:
            client.config_set("maxmemory", "1mb")
            with pytest.raises(StoreUnavailable, match="the server refuses: OutOfMemory"):
                append(store, decision("t2", A), states={A: b"2"})
            client.config_set("maxmemory", "0")
        assert look(store, ["t2"], [A]).states == {A: SavedState(1, b"1")}
        append(store, decision("t2", A), states={A: b"2"})
        assert [event.transaction_id for event in store.log()] == ["t1", "t2"]
        store.close()


def test_a_server_that_keeps_what_it_acknowledges(tmp_path: Path) -> None:
    with server(tmp_path, *DURABLE, "--maxmemory", "1gb") as url:
        store = RedisStore(url)
        assert store.risks == ()
        written = append(store, decision("t1", A), states={A: b"1"})
        store.close()
    with server(tmp_path, *DURABLE) as url:  # the first was killed
        store = RedisStore(url)
        assert list(store.log()) == written
        store.close()


def test_keys_of_somebody_else_are_an_error_without_values(store: Store, redis_backend: Backend) -> None:
    with Redis.from_url(redis_backend.url) as client:
        client.set(f"{redis_backend.prefix}events:0", "mine")
    with pytest.raises(StoreUnavailable, match="are not this store's"):
        append(store, replace(decision("t1"), body="the-callers-own-value"))
    with pytest.raises(StoreUnavailable, match="the server refuses: WRONGTYPE"):
        list(store.log())


def test_a_url_that_says_too_much() -> None:
    for url in ("redis://:secret@127.0.0.1:port/0", "redis://:secret@127.0.0.1/0?colour=red"):
        with pytest.raises(InvalidInput, match="expected redis://") as caught:
            RedisStore(url)
        assert "secret" not in str(caught.value)


def test_what_reserved_its_place_before_the_log_was_settled_gets_a_later_one(
    redis_backend: Backend, store: Store
) -> None:
    other = redis_backend.open()
    views: list[View] = []
    settled: list[int] = []
    for origin in (False, True):
        views.clear()

        def work(view: View) -> Writes:
            if not views:
                settled.append(other.settle())
            views.append(view)
            return Writes(decisions=[decision(None, seq=view.next_seq)])

        store.transact([], [], 1, work)
        assert len(views) == 2
        assert views[0].next_seq <= settled[-1] < views[1].next_seq == store.last_seq()
        if not origin:
            store.begin(Origin("spec"), [])
    other.close()


def test_what_was_labelled_or_paid_since_is_not_erased(store: Store) -> None:
    store.begin(Origin("spec"), [])
    (first,) = append(store, decision("t1", A), states={A: b"1"})
    assert isinstance(first, Decision)
    store.compact({A: b"1"}, first.seq)
    append(store, label("t1"), states={A: b"2"})
    assert store.erase([first]) == 0
    assert store.erase([], [A]) == 0
    assert store.find("t1") == first and look(store, keys=[A]).states[A].content == b"2"
    store.compact({A: b"2"}, store.settle())
    assert store.erase([first]) == 1
    assert store.erase([first]) == 0
    assert store.erase([], [A]) == 1


def test_who_has_read_the_base_of_what_is_erased_reads_again(redis_backend: Backend, store: Store) -> None:
    store.begin(Origin("spec"), [(A, b"base")])
    other = redis_backend.open()
    seen: list[View] = []

    def work(view: View) -> Writes:
        seen.append(view)
        if len(seen) == 1:
            other.base_states([A])
            assert other.erase([], [A]) == 1
        return Writes(decisions=[decision("t1", A, seq=view.next_seq)], states={A: SavedState(view.next_seq, b"1")})

    store.transact(["t1"], [A], 1, work)
    assert [view.states for view in seen[-2:]] == [{A: SavedState(0, b"base")}, {}]
    other.close()


@pytest.mark.parametrize("options", [DURABLE, ("--appendonly", "no", "--save", "3600 1")])
def test_nothing_of_what_was_erased_is_in_the_servers_files(tmp_path: Path, options: tuple[str, ...]) -> None:
    with server(tmp_path, *options) as url, closing(RedisStore(url)) as store, Redis.from_url(url) as client:
        store.begin(Origin("spec"), [])
        (gone,) = append(store, decision("to-be-erased", A), states={A: b"1"})
        assert isinstance(gone, Decision)
        if options != DURABLE:
            client.save()

        def found() -> bool:
            return any(b"to-be-erased" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())

        assert found()
        store.compact({}, store.settle())
        assert store.erase([gone]) == 1
        assert store.scrub()
        assert not found()


def test_a_server_that_may_not_be_told_to_rewrite_its_files_is_not_scrubbed(tmp_path: Path) -> None:
    with server(tmp_path, *DURABLE, "--rename-command", "BGREWRITEAOF", "") as url, closing(RedisStore(url)) as store:
        assert not store.scrub()


def test_a_purge_that_was_killed_is_over_after_a_while(redis_backend: Backend, store: Store) -> None:
    other = redis_backend.open()
    store.compact({}, 0)  # and then no more
    with pytest.raises(StoreInUse, match="another purge is running"):
        other.compact({}, 0)
    with Redis.from_url(redis_backend.url) as client:
        assert 0 < client.pttl(f"{redis_backend.prefix}purge") <= 60_000
        client.delete(f"{redis_backend.prefix}purge")
    other.compact({}, 0)
    other.close()
