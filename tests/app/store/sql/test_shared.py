"""A store on PostgreSQL that several processes share: who may, what they count together, what a follower sees."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace

import psycopg
import pytest

from app.store.contract import Store
from app.store.errors import BegunMeanwhile, NotShared, OtherStates, StoreInUse, StoreUnavailable
from app.store.open import open_store, shared_url
from app.store.records import Activation, Decision, LabelEvent, ListChange, Origin, SavedState, View, Writes
from app.store.tail import Tail
from tests.app.store.conftest import Backend
from tests.app.store.events import append, decision, key, label, look
from tests.app.store.processes import python
from tests.waiting import FAR, until

A, B = key("a"), key("b")
#: Counts in the states of cards, beside others that do, until it is told to stop or killed.
COUNTER = """
import sys, threading
from app.store.open import open_store
from app.store.records import SavedState, Writes
from tests.app.store.events import decision, key
store, own = open_store(sys.argv[1]), int(sys.argv[2])
print("open", flush=True)
stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
turn = 0
while not stop.is_set():
    turn += 1
    cards = [key("hot"), key(f"card {turn % 7}"), key(f"fresh {turn}")][:: 1 if own % 2 else -1]
    def count(view):
        event = decision(f"{own} {turn}", *cards, seq=view.next_seq)
        counts = {card: int(view.states[card].content) if card in view.states else 0 for card in cards}
        return Writes([event], (), {card: SavedState(event.seq, b"%d" % (n + 1)) for card, n in counts.items()})
    store.transact([f"{own} {turn}"], cards, 1, count)
    print(turn, flush=True)
store.close()
"""


@pytest.fixture
def backend(shared_postgresql_backend: Backend) -> Backend:
    return shared_postgresql_backend


@pytest.fixture
def two(backend: Backend) -> Iterator[tuple[Store, Store]]:
    """As two processes have it."""
    with closing(backend.open()) as one, closing(backend.open()) as other:
        yield one, other


@contextmanager
def under_way(store: Store, *events: Decision | LabelEvent) -> Iterator[Callable[[], None]]:
    """A transaction that has its places and writes once it is let go on."""
    computed, go = threading.Event(), threading.Event()

    def work(view: View) -> Writes:
        computed.set()
        assert go.wait(FAR)
        written = [replace(event, seq=view.next_seq + place) for place, event in enumerate(events)]
        decisions = [event for event in written if isinstance(event, Decision)]
        states = {one: SavedState(view.next_seq, b"slow") for event in decisions for one in event.keys}
        return Writes(decisions, [event for event in written if isinstance(event, LabelEvent)], states)

    keys = [one for event in events if isinstance(event, Decision) for one in event.keys]
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(store.transact, [], keys, len(events), work, [])
        assert computed.wait(FAR)

        def finish() -> None:
            go.set()
            done.result(FAR)

        try:
            yield finish
        finally:
            go.set()


@contextmanager
def waiting(act: Callable[[], object], beside: psycopg.Connection) -> Iterator[Future[object]]:
    """What waits for a lock."""
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(act)
        blocked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        until(lambda: beside.execute(blocked).fetchone(), "a transaction that waits")
        yield found


@pytest.fixture
def beside(backend: Backend) -> Iterator[psycopg.Connection]:
    """A connection of somebody else."""
    with psycopg.connect(shared_url(backend.url, False), autocommit=True) as connection:
        yield connection


def test_it_is_owned_or_shared_and_goes_from_one_to_the_other(backend: Backend) -> None:
    alone = shared_url(backend.url, False)
    with closing(open_store(alone)) as owner:
        append(owner, decision("t1", A), states={A: b"1"}, watermark=1)
        with pytest.raises(StoreInUse, match="one process owns this store"):
            backend.open()
    with closing(backend.open()) as one, closing(backend.open()) as other:
        assert [append(store, decision(None, A), states={A: b"2"})[0].seq for store in (one, other)] == [2, 3]
        with pytest.raises(StoreInUse, match="or several share it"):
            open_store(alone)
    with closing(open_store(alone)) as owner:
        append(owner, decision("t4", A), decision("t5", A))
    with pytest.raises(NotShared, match=r"start the service on it with \?shared=true first"):
        backend.open()
    with closing(open_store(alone)) as owner:
        append(owner, decision("t6", A), states={A: b"6"}, watermark=6)
    with closing(backend.open()) as one:
        assert append(one, decision(None))[0].seq == 7


def test_none_counts_what_another_has_counted_though_one_is_killed(backend: Backend) -> None:
    told: list[list[int]] = [[], []]
    with python(COUNTER, backend.url, "0") as first, python(COUNTER, backend.url, "1") as second:
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
        for _ in range(60):
            for lines, process in zip(told, (first, second), strict=True):
                assert process.stdout is not None
                lines.append(int(process.stdout.readline()))
        first.kill()
        assert first.stdout is not None and second.stdout is not None and second.stdin is not None
        told[0] += map(int, first.stdout.read().split())
        told[1] += [int(second.stdout.readline()) for _ in range(60)]  # it is not held up
        second.stdin.write("\n")
        second.stdin.flush()
        told[1] += map(int, second.stdout.read().split())
        assert second.wait(FAR) == 0
    with closing(backend.open(read_only=True)) as store:
        log = [event for event in store.log() if isinstance(event, Decision)]
        ids = [event.transaction_id for event in log]
        assert len(set(ids)) == len(ids)
        assert {f"{own} {turn}" for own in (0, 1) for turn in told[own]} <= set(ids)
        assert len(ids) <= sum(map(len, told)) + 1  # the last of the killed one may not have been told
        for card in ["hot", *(f"card {number}" for number in range(7)), "fresh 1", "fresh 9"]:
            mine = [event.seq for event in log if key(card) in event.keys]
            assert look(store, keys=[key(card)]).states[key(card)] == SavedState(mine[-1], b"%d" % len(mine))


def test_a_follower_waits_for_places_that_are_filled_late(two: tuple[Store, Store], backend: Backend) -> None:
    one, other = two
    tail = Tail()
    with closing(backend.open(read_only=True)) as reader, under_way(one, decision("late", A)) as finish:
        append(other, decision("t1", B))
        assert [event.seq for event in tail.read(reader, 9)] == [2]
        for _ in range(3):
            assert (tail.read(reader, 9), tail.settled) == ([], 0)
        append(other, decision("t2", B))
        assert [event.seq for event in tail.read(reader, 9)] == [3]
        finish()
        assert [event.seq for event in tail.read(reader, 9)] == [1]
        assert (tail.read(reader, 9), tail.settled) == ([], 3)


def test_a_place_that_stays_empty_is_passed_once_nobody_can_fill_it(two: tuple[Store, Store]) -> None:
    one, other = two
    tail = Tail()
    with pytest.raises(ZeroDivisionError):
        one.transact([], [A], 2, lambda _: 1 / 0)  # type: ignore[arg-type,return-value]
    append(other, decision("t1"))
    assert [event.seq for event in tail.read(one, 9)] == [3]
    assert tail.settled == 0
    assert (tail.read(one, 9), tail.settled) == ([], 3)


def test_what_is_counted_waits_for_what_is_under_way(two: tuple[Store, Store], beside: psycopg.Connection) -> None:
    one, other = two
    version = decision("").model_version
    with under_way(one, decision("late", A)) as finish, ThreadPoolExecutor(1) as pool:
        append(other, decision("t1", B))
        counted = pool.submit(other.tally, version, 0, 0)
        looks = (
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%virtualtransaction%'"
        )
        until(lambda: beside.execute(looks + " AND pid <> pg_backend_pid()").fetchone(), "a look")
        assert not counted.done()
        finish()
        assert [(rows, alerts) for _, rows, alerts in counted.result(FAR).days] == [(2, 0)]


def test_the_same_id_at_the_same_time_is_recorded_once(two: tuple[Store, Store]) -> None:
    one, other = two
    seen: list[bool] = []
    computed, go = threading.Event(), threading.Event()

    def slow(view: View) -> Writes:
        seen.append("same" in view.known)
        computed.set()
        assert go.wait(FAR)
        return Writes() if seen[-1] else Writes([decision("same", A, seq=view.next_seq)])

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(one.transact, ["same"], [A], 1, slow)
        assert computed.wait(FAR)
        append(other, decision("same", B))
        go.set()
        done.result(FAR)
    assert seen == [False, True]
    assert [event.transaction_id for event in one.log()] == ["same"]


def test_a_label_waits_for_another_of_the_same_transaction(
    two: tuple[Store, Store], beside: psycopg.Connection
) -> None:
    one, other = two
    append(one, decision("t1"))  # of no entity that could be held
    before: list[bool] = []
    held, go = threading.Event(), threading.Event()

    def slow(view: View) -> Writes:
        held.set()
        assert go.wait(FAR)
        return Writes(labels=[label("t1", seq=view.next_seq)])

    def second(view: View) -> Writes:
        before.append("t1" in view.labels)
        return Writes()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.transact, ["t1"], [], 1, slow, ["t1"])
        assert held.wait(FAR)
        with waiting(lambda: other.transact(["t1"], [], 1, second, ["t1"]), beside) as done:
            go.set()
            first.result(FAR)
            done.result(FAR)
    assert before == [True]


def test_what_is_rare_waits_for_what_is_under_way(two: tuple[Store, Store], beside: psycopg.Connection) -> None:
    one, other = two
    origin = Origin("spec-1")
    one.begin(origin, [(A, b"base")])
    with (
        under_way(one, decision("late", A)) as finish,
        waiting(lambda: other.begin(Origin("spec-2"), [], origin), beside) as begun,
    ):
        finish()
        begun.result(FAR)
    assert look(one, keys=[A]).states == {}
    with pytest.raises(BegunMeanwhile):
        one.begin(Origin("spec-3"), [], origin)


def test_others_activate_and_change_lists_too(two: tuple[Store, Store]) -> None:
    one, other = two
    assert one.activate(Activation(1, "a", None, 5, 0, 0.9))
    assert not other.activate(Activation(1, "b", None, 5, 0, 0.9))
    assert one.change_lists([ListChange(1, 5, "block", "card_id", "1")])
    assert not other.change_lists([ListChange(1, 5, "block", "card_id", "2")])
    assert other.change_lists([ListChange(2, 5, "block", "card_id", "2")])
    one.prove()
    other.prove()
    assert (list(one.log()), append(other, decision(None))[0].seq) == ([], 1)


def test_a_purge_leaves_what_others_have_written_since(two: tuple[Store, Store]) -> None:
    one, other = two
    one.begin(Origin("spec"), [])
    first, second = append(one, decision("t1", A), decision("t2", B), states={A: b"1", B: b"2"})
    assert isinstance(first, Decision) and isinstance(second, Decision)
    with one.purging():
        with pytest.raises(StoreInUse, match="another purge is running"), other.purging():
            pass
        assert one.compacted() == 0
        one.compact({A: b"1", B: b"2"}, one.settle())
        append(other, label("t1"))
        assert one.erase([first, second]) == 1
        assert one.erase([second], [A, B]) == 1  # gone already; a decision of A is left
    assert one.compacted() == 2
    other.begin(Origin("spec-2"), [], Origin("spec"))
    with pytest.raises(OtherStates, match="begun anew"):
        one.compact({}, 2)
    with other.purging():
        pass


def test_a_session_that_ended_is_replaced_and_what_it_wrote_is_known(
    two: tuple[Store, Store], beside: psycopg.Connection
) -> None:
    one, other = two
    append(one, decision("t1", A), states={A: b"1"})
    for state in (b"2", b"3"):
        beside.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        append(one, decision(None, A), states={A: state})
        append(other, decision(None, A), states={A: state})
    assert len(list(one.log())) == 5
    assert look(other, keys=[A]).states[A].content == b"3"


def test_a_process_that_holds_a_card_for_too_long_is_not_waited_for(backend: Backend) -> None:
    with (
        closing(backend.open()) as one,
        closing(open_store(backend.url, patience=0.2)) as other,
    ):
        append(one, decision("t1", A), states={A: b"1"})
        with under_way(one, decision("late", A)) as finish:
            with pytest.raises(StoreUnavailable, match=r"55P03.*lock timeout"):
                append(other, decision("t2", A), states={A: b"2"})
            append(other, decision("t3", B), states={B: b"3"})  # others are not in its way
            finish()
        assert look(other, keys=[A]).states[A].content == b"slow"


def test_of_those_that_find_it_new_one_makes_it_ready_and_the_others_wait(backend: Backend) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = [each.result(FAR) for each in [pool.submit(backend.open) for _ in range(4)]]
    try:
        assert [append(store, decision(None))[0].seq for store in stores] == [1, 2, 3, 4]
    finally:
        for store in stores:
            store.close()
