"""What every store promises, asked of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.store.contract import Store
from app.store.errors import BegunMeanwhile, StillBuilding
from app.store.records import (
    Activation,
    Decision,
    KeptRules,
    Label,
    LabelEvent,
    ListChange,
    Origin,
    SavedState,
    View,
    Writes,
)
from models.behaviour.keys import EntityKey
from models.errors import InvalidInput
from tests.app.store.conftest import Backend
from tests.app.store.events import append, decision, key, label, look
from tests.examples import examples

A, B, SHOP = key("a"), key("b"), key("shop", "merchant")
ORIGIN = Origin(spec="spec-1", base="base-1", as_of=12)
#: Any Unicode but NUL; no lone surrogates, which UTF-8 has no place for.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
INT = st.integers(-(2**62), 2**62)
NUMBER = st.floats(allow_nan=False)
KEYS = st.lists(st.tuples(TEXT, st.binary(max_size=40)), max_size=4, unique=True).map(tuple)
ONE_STORE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(15))


def test_an_empty_store(store: Store) -> None:
    assert store.origin() is None
    assert (store.last_seq(), store.watermark()) == (0, 0)
    assert list(store.log()) == list(store.log(keys=[A])) == []
    assert list(store.log_columns()) == []
    assert store.find("t1") is None
    assert store.base_states([A]) == {}
    assert look(store, ["t1"], [A]) == View({}, {}, {}, 1)


def test_what_is_written_is_there_after_opening_again(backend: Backend) -> None:
    first = backend.open()
    written = append(first, decision("t1", A, SHOP), decision(None, B), label("t1"), states={A: b"state"}, watermark=2)
    first.close()
    again = backend.open()
    assert list(again.log()) == written
    assert again.find("t1") == written[0]
    assert (again.last_seq(), again.watermark()) == (3, 2)
    view = look(again, ["t1", "t2"], [A, B])
    assert (view.known, view.labels) == ({"t1": written[0]}, {"t1": written[2]})
    assert (view.states, view.next_seq) == ({A: SavedState(3, b"state")}, 4)
    assert append(again, decision("t2"))[0].seq > 3
    again.close()


def test_a_decision_is_found_by_each_of_its_names(backend: Backend) -> None:
    first = backend.open()
    k1, k2 = b"\x00" * 16, b"\xff" * 16
    both, keyed = append(first, decision("t1", A, idempotency_digest=k1), decision(None, A, idempotency_digest=k2))
    first.close()
    again = backend.open()
    assert look(again, ["t1", "t2", k1, k2, b"other key 123456"]).known == {"t1": both, k1: both, k2: keyed}
    assert look(again, [k1]).known == {k1: both}
    assert list(again.log()) == [both, keyed]
    again.close()


def test_it_can_be_closed_twice(backend: Backend) -> None:
    store = backend.open()
    store.close()
    store.close()


def test_nothing_is_kept_of_work_that_fails(store: Store) -> None:
    append(store, decision("t1", A), states={A: b"1"})
    failure = ValueError("mine")

    def work(view: View) -> Writes:
        raise failure

    with pytest.raises(ValueError) as caught:
        store.transact(["t2"], [A], 1, work)
    assert caught.value is failure
    assert [event.seq for event in store.log()] == [1]
    assert append(store, decision("t2", A), states={A: b"2"})[0].seq > 1
    assert look(store, keys=[A]).states[A].content == b"2"


def test_a_place_is_free_until_it_is_written(store: Store) -> None:
    assert look(store).next_seq == 1
    append(store, decision("t1"), label("t1"))
    seen: list[int] = []

    def work(view: View) -> Writes:
        seen.append(view.next_seq)
        return Writes(decisions=[decision("t2", seq=view.next_seq)])

    store.transact(["t2"], [], 5, work)
    assert seen == [3]
    assert store.last_seq() == 3
    assert append(store, decision("t3"))[0].seq in (4, 8)  # a shared store reserves what it was asked for


def test_many_ids_and_keys_at_once(store: Store) -> None:
    names = [f"t{i}" for i in range(1_000)]
    cards = [key(name) for name in names]
    append(store, *map(decision, names, cards), states=dict.fromkeys(cards, b"s"))
    append(store, *map(label, names[::2]))
    view = look(store, [*names, "other", *names[:9]], [*cards, B, *cards[:9]])
    assert (set(view.known), set(view.labels), set(view.states)) == (set(names), set(names[::2]), set(cards))
    assert [event.transaction_id for event in store.log(keys=cards[:700]) if isinstance(event, Decision)] == names[:700]


def test_the_latest_label_counts_and_all_are_in_the_log(store: Store) -> None:
    append(store, decision("t1", A), decision("t2", A))
    append(store, label("t1", "fraud"), label("t1", "disputed"))
    append(store, label("t1", "legitimate", known_at=1))
    assert look(store, ["t1", "t2"]).labels["t1"].label == "legitimate"
    assert set(look(store, ["t1", "t2"]).labels) == {"t1"}
    assert [event.label for event in store.log(2) if isinstance(event, LabelEvent)] == [
        "fraud",
        "disputed",
        "legitimate",
    ]


def test_states_begin_with_the_base_and_are_forgotten_with_it(store: Store) -> None:
    append(store, decision("t1", A), states={A: b"old"}, watermark=1)
    store.begin(ORIGIN, [(A, b"base a"), (SHOP, b"")])
    assert (store.origin(), store.watermark()) == (ORIGIN, 0)
    assert store.base_states([A, B, SHOP]) == {A: b"base a", SHOP: b""}
    assert look(store, keys=[A, B, SHOP]).states == {A: SavedState(0, b"base a"), SHOP: SavedState(0, b"")}
    append(store, decision("t2", A), states={A: b"new"})
    assert look(store, keys=[A]).states == {A: SavedState(store.last_seq(), b"new")}
    assert store.base_states([A]) == {A: b"base a"}
    store.begin(Origin("spec-2"), [], ORIGIN)
    assert (store.origin(), store.base_states([A]), look(store, keys=[A]).states) == (Origin("spec-2"), {}, {})
    assert len(list(store.log())) == 2


def test_a_beginning_that_fails_changes_nothing(store: Store) -> None:
    store.begin(ORIGIN, [(A, b"base")])
    append(store, decision("t1", B), states={B: b"saved"}, watermark=1)

    def base() -> Iterator[tuple[EntityKey, bytes]]:
        for number in range(12_000):
            yield key(str(number)), b"x"
        raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        store.begin(Origin("other"), base(), ORIGIN)
    assert (store.origin(), store.watermark(), store.base_states([A])) == (ORIGIN, 1, {A: b"base"})
    assert look(store, keys=[A, B]).states == {A: SavedState(0, b"base"), B: SavedState(1, b"saved")}


def test_states_that_are_being_made_are_refused_until_they_are_finished(store: Store) -> None:
    append(store, decision("t1", A), states={A: b"old"})
    store.begin(Origin("spec-2", building=True), [(B, b"base")])
    if store.shared:
        for attempt in (lambda: append(store, decision("t2", A)), lambda: look(store, keys=[A])):
            with pytest.raises(StillBuilding):
                attempt()
    done = Origin("spec-2", seq=1)
    store.finish(done, [(A, SavedState(1, b"new"))])
    assert (store.origin(), store.watermark()) == (done, 1)
    assert look(store, keys=[A, B]).states == {A: SavedState(1, b"new"), B: SavedState(0, b"base")}
    assert append(store, decision("t2", A))[0].seq > 1


def test_what_another_process_began_is_not_forgotten(backend: Backend, store: Store) -> None:
    store.begin(ORIGIN, [(A, b"base")])
    append(store, decision("t1", B), states={B: b"saved"})
    for known in (None, Origin("other")):
        with pytest.raises(BegunMeanwhile):
            store.begin(Origin("late"), [(A, b"late")], known)
    assert (store.origin(), store.base_states([A])) == (ORIGIN, {A: b"base"})
    assert look(store, keys=[A, B]).states == {A: SavedState(0, b"base"), B: SavedState(1, b"saved")}


def test_the_log_of_some_entities_and_from_some_place(store: Store) -> None:
    one, two, *_ = written = append(
        store,
        decision("t1", A, SHOP),
        decision("t2", B, SHOP),
        label("t2"),
        decision(None, A),
        label("t1"),
        label("t1"),
    )
    assert list(store.log(2)) == written[2:]
    assert list(store.log(keys=[A])) == [one, written[3], written[4], written[5]]
    assert list(store.log(keys=[A, SHOP, A])) == written  # none twice
    assert list(store.log(1, keys=[SHOP])) == [two, written[2], written[4], written[5]]
    assert list(store.log(keys=[key("nobody")])) == list(store.log(6)) == []


def test_the_log_can_be_read_while_it_grows(store: Store) -> None:
    append(store, *(decision(f"t{i}") for i in range(3)))
    reading = store.log()
    seen = [next(reading).seq]
    append(store, decision("later"))
    assert seen + [event.seq for event in reading][:2] == [1, 2, 3]


def test_only_reading_beside_the_owner(backend: Backend, store: Store) -> None:
    store.begin(ORIGIN, [(B, b"base")])
    written = append(store, decision("t1", A), states={A: b"1"})
    reader = backend.open(read_only=True)
    assert list(reader.log()) == written
    assert set(look(reader, ["t1"], [A, B]).states) == {A, B}
    append(store, decision("t2", A), states={A: b"2"})
    view = look(reader, ["t2"], [A])
    assert (view.states[A].content, set(view.known), view.next_seq) == (b"2", {"t2"}, 3)
    with pytest.raises(ValueError, match="for reading only"):
        append(reader, decision("t3"))
    with pytest.raises(ValueError, match="for reading only"):
        reader.begin(ORIGIN, [])
    reader.close()
    assert append(store, decision("t3"))[0].seq == 3


def test_what_is_compacted_and_erased_is_gone_and_its_places_stay_taken(backend: Backend) -> None:
    store = backend.open()
    store.begin(ORIGIN, [(A, b"old")])
    append(store, decision("t1", A, SHOP), label("t1"), states={A: b"1", SHOP: b"1"})
    (kept,) = append(store, decision("t2", SHOP), states={SHOP: b"2"})
    (last,) = append(store, decision("t3", A, idempotency_digest=b"k" * 16), states={A: b"3"})
    known = [known for known in store.log() if isinstance(known, Decision) and known != kept]
    with store.purging():
        assert store.settle() >= last.seq
        store.compact({A: b"base 3", SHOP: b"base 2"}, last.seq)
        assert store.compacted() == last.seq
        assert store.base_states([A, SHOP]) == {A: b"base 3", SHOP: b"base 2"}
        assert store.erase(known) == 2
        assert store.erase([], [A]) == 1
        store.scrub()
    store.close()
    again = backend.open()
    assert list(again.log()) == list(again.log(keys=[A, SHOP])) == [kept]
    assert look(again, ["t1", "t3", b"k" * 16], [A, SHOP]).known == {}
    assert look(again, ["t1"], [A, SHOP]).labels == {}
    assert look(again, keys=[A, SHOP]).states == {SHOP: SavedState(kept.seq, b"2")}
    assert again.base_states([A, SHOP]) == {SHOP: b"base 2"}
    assert (again.compacted(), again.last_seq()) == (last.seq, last.seq)
    assert append(again, decision("t3", A), states={A: b"new"})[0].seq > last.seq
    again.begin(Origin("spec-2"), [], ORIGIN)
    assert again.compacted() == 0
    again.close()


def test_activations_are_there_after_opening_again_each_place_taken_once(backend: Backend) -> None:
    store = backend.open()
    assert list(store.activations()) == []
    first = Activation(1, "a", None, at=5, seq=0, threshold=0.995)
    second = Activation(2, "b", "a", at=7, seq=41, threshold=0.99, decline=0.999, by="alice 💳", report="ab" * 32)
    assert store.activate(first) and store.activate(second)
    assert not store.activate(replace(second, version="c"))
    store.close()
    again = backend.open()
    assert list(again.activations()) == [first, second]
    again.begin(ORIGIN, [])  # what begins anew are the states
    append(again, decision("t1", A))
    assert (list(again.activations()), again.last_seq()) == ([first, second], 1)
    reader = backend.open(read_only=True)
    assert list(reader.activations()) == [first, second]
    with pytest.raises(InvalidInput, match="reading only"):
        reader.activate(replace(second, number=3))
    reader.close()
    again.close()


def test_changes_of_lists_are_kept_in_order_each_place_taken_once(backend: Backend) -> None:
    store = backend.open()
    assert list(store.list_changes()) == []
    first = ListChange(1, 5, "block", "card_id", "💳 1")
    others = [
        ListChange(2, 7, "snooze", "merchant_id", "m 1", until=90, by="alice", note="asked 'why' \\"),
        ListChange(3, 7, "block", "card_id", "💳 1", listed=False),
    ]
    assert store.change_lists([first]) and store.change_lists(others)
    for number in (1, 3, 5):  # taken, taken, and one that leaves a gap
        assert not store.change_lists([replace(first, number=number), replace(first, number=number + 1)])
    store.close()
    again = backend.open()
    assert list(again.list_changes()) == [first, *others]
    assert (list(again.list_changes(after=1)), list(again.list_changes(after=3))) == (others, [])
    assert again.change_lists([replace(first, number=4)])
    reader = backend.open(read_only=True)
    assert [one.number for one in reader.list_changes()] == [1, 2, 3, 4]
    with pytest.raises(InvalidInput, match="reading only"):
        reader.change_lists([replace(first, number=5)])
    reader.close()
    again.close()


def test_rules_are_kept_the_last_in_force_at_the_end(backend: Backend) -> None:
    store = backend.open()
    assert list(store.kept_rules()) == []
    old, new = KeptRules("a", 5, "text 💳"), KeptRules("b", 7, "other")
    store.keep_rules(old)
    store.keep_rules(new)
    store.keep_rules(replace(old, at=9))
    store.close()
    again = backend.open(read_only=True)
    assert list(again.kept_rules()) == [new, replace(old, at=9)]
    with pytest.raises(InvalidInput, match="reading only"):
        again.keep_rules(old)
    again.close()


DECISIONS = st.builds(
    Decision,
    seq=st.just(0),
    transaction_id=st.none() | TEXT | st.just("💳" * 1000),
    digest=st.binary(min_size=32, max_size=32),
    time=INT,
    arrived_at=INT,
    body=TEXT,
    features=st.binary(max_size=40),
    score=NUMBER,
    error=NUMBER,
    threshold=NUMBER,
    decision=TEXT,
    model_version=TEXT,
    reply=st.binary(max_size=40),
    caller=st.none() | TEXT,
    latency_us=INT,
    keys=KEYS,
)
LABELS = st.builds(LabelEvent, st.just(0), TEXT, st.sampled_from(get_args(Label)), INT, INT, st.none() | TEXT)


@ONE_STORE
@given(
    events=st.lists(DECISIONS | LABELS, max_size=8, unique_by=lambda event: event.transaction_id),
    chunk=st.integers(1, 9),
)
def test_the_log_gives_back_what_it_was_given(store: Store, events: list[Decision | LabelEvent], chunk: int) -> None:
    known = look(store, [event.transaction_id for event in events if event.transaction_id is not None]).known
    events = [event for event in events if isinstance(event, LabelEvent) or event.transaction_id not in known]
    before = store.last_seq()
    written = append(store, *events)
    assert list(store.log(before)) == written
    stretches = list(store.log_columns(before, chunk))
    assert all(len(stretch.seqs) <= chunk and len(stretch.labels) <= chunk for stretch in stretches)
    columns = [
        row for part in stretches for row in zip(part.seqs, part.transaction_ids, part.times, part.bodies, strict=True)
    ]
    decisions = [event for event in written if isinstance(event, Decision)]
    assert columns == [(event.seq, event.transaction_id, event.time, event.body) for event in decisions]
    ordered = [sorted([*part.seqs, *(event.seq for event in part.labels)]) for part in stretches]
    assert [seq for part in ordered for seq in part] == [event.seq for event in written]
    for event in decisions:
        for entity in event.keys:
            assert event in list(store.log(before, keys=[entity]))


def test_a_proof_leaves_no_trace(backend: Backend) -> None:
    store = backend.open()
    store.begin(Origin("spec"), [(A, b"base")])
    append(store, decision("t1", A), label("t1"), states={A: b"1"}, watermark=1)
    before = look(store, ["t1"], [A, B])
    for _ in range(2):
        store.prove()
    assert look(store, ["t1"], [A, B]) == before
    assert [event.seq for event in store.log()] == [1, 2]
    assert append(store, decision("t2", A))[0].seq == 3
    store.close()
    reader = backend.open(read_only=True)
    with pytest.raises(InvalidInput, match="reading only"):
        reader.prove()
    reader.close()


def test_a_view_says_what_the_states_are_of(backend: Backend) -> None:
    store = backend.open()
    assert look(store).spec is None
    store.begin(Origin("spec-1"), [])
    assert look(store).spec == "spec-1"
    store.begin(Origin("spec-2"), [], Origin("spec-1"))
    assert look(store).spec == "spec-2"
    store.close()
    again = backend.open()
    assert look(again).spec == "spec-2"
    again.close()
