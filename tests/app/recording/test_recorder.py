"""What is recorded counts once, follows from what arrived before, and memory is never ahead of the store."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.problems import Refused
from app.recording.engine import Engine
from app.recording.rebuild import rebuild
from app.recording.recorder import Recorder
from app.recording.startup import Recovered, recover
from app.recording.state_cache import StateCache
from app.recording.steps import Steps
from app.refusals import Conflict
from app.requests.arrival import ScoreOptions
from app.requests.encoder import Encoder
from app.requests.model import RequestModel
from app.store.errors import StoreUnavailable
from app.store.open import open_store
from app.store.records import Decision
from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey
from models.behaviour.replay import content
from models.rows import Batch
from tests.app.faulty_store import FaultyStore, Stop
from tests.app.offline import same_states
from tests.app.records import Till, changed, replies, sent, till, told
from tests.app.traffic import Payments

HOUR = 3_600_000_000


def recorded(url: str) -> list[Decision]:
    store = open_store(url, read_only=True)
    found = [event for event in store.log() if isinstance(event, Decision)]
    store.close()
    return found


def live(one: Till) -> dict[EntityKey, bytes]:
    """Everything in memory, byte for byte."""
    return {key: one.recorder.states.get(key).tobytes() for key in list(one.recorder.states._states)}  # type: ignore[union-attr]


def behaviour_of(payments: Payments, decision: Decision) -> dict[str, float]:
    schema = payments.schema
    values = Batch.from_bytes(decision.features, len(schema.numeric)).numeric[0]
    return dict(zip(schema.numeric, values.tolist(), strict=True))


def test_the_same_again_gets_the_stored_answer_and_counts_once(payments: Payments, own_store: str) -> None:
    body = sent(payments, 1)[0]
    spelled = json.dumps(json.loads(body), indent=2).encode()
    with till(payments, own_store) as one:
        first = one.send(body, reasons=2)
        before = live(one)
        assert one.send(body) == one.send(spelled, reasons=5) == first
        assert live(one) == before
    with till(payments, own_store) as again:
        assert again.send(body) == first
    assert len(recorded(own_store)) == 1


def test_another_transaction_under_the_id_is_refused_and_changes_nothing(payments: Payments, own_store: str) -> None:
    body = sent(payments, 1)[0]
    with till(payments, own_store) as one:
        first = one.send(body)
        before = live(one)
        refusal = one.refusal(changed(body, amount=99.0))
        assert isinstance(refusal, Conflict)
        assert live(one) == before
        assert one.send(body) == first


def test_twice_in_one_transaction_of_the_store(payments: Payments, own_store: str) -> None:
    a, b = sent(payments, 2)
    with till(payments, own_store) as one:
        answers = one.send(a, b, a, changed(a, amount=99.0))
        assert answers[0] == answers[2] != answers[1]
        assert isinstance(answers[3], Conflict)
        assert [error.field for error in answers[3].errors] == ["transaction_id"]
    assert len(recorded(own_store)) == 2


def test_a_transaction_sees_what_came_before_it_in_the_same_batch(payments: Payments, own_store: str) -> None:
    body = changed(sent(payments, 1)[0], card_id="never-seen", merchant_id="shop")
    moment = json.loads(body)["timestamp"][:-5]
    times = [f"{moment}.{i}00Z" for i in range(4)]
    rows = [changed(body, transaction_id=f"b{i}", timestamp=t, amount=10.0 * (i + 1)) for i, t in enumerate(times)]
    tied = changed(rows[3], transaction_id="tie", amount=1.0)
    with till(payments, own_store) as one:
        replies(one.send(*rows, tied))
    found = [behaviour_of(payments, decision) for decision in recorded(own_store)]
    assert [f["card.count_1h"] for f in found] == [0, 1, 2, 3, 3]
    assert [f["card.sum_1h"] for f in found] == [0, 10, 30, 60, 60]
    assert [f["card.is_new"] for f in found] == [1, 0, 0, 0, 0]


def test_a_late_transaction_sees_what_arrived_before_it(payments: Payments, own_store: str) -> None:
    body = changed(sent(payments, 1)[0], card_id="never-seen", merchant_id="shop")
    with till(payments, own_store) as one:
        for number, moment in enumerate(("10:00", "12:00", "11:00", "12:30")):
            one.reply(changed(body, transaction_id=f"l{number}", timestamp=f"2026-01-20T{moment}:00Z"))
    counts = [behaviour_of(payments, decision)["card.count_1d"] for decision in recorded(own_store)]
    assert counts == [0, 1, 1, 3]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"timestamp": "2999-01-01T00:00:00Z"}, "timestamp"),
        ({"timestamp": "2026-01-01T00:00:00Z"}, "timestamp"),  # more than three days before the card's newest
    ],
)
def test_what_cannot_be_placed_in_time_changes_nothing(
    payments: Payments, own_store: str, changes: dict[str, Any], field: str
) -> None:
    body = sent(payments, 1)[0]
    with till(payments, own_store) as one:
        one.reply(body)
        before = live(one)
        refusal = one.refusal(changed(body, transaction_id="x", merchant_id="new-shop", **changes))
        assert [error.field for error in refusal.errors] == [field]
        assert live(one) == before
        one.reply(changed(body, transaction_id="y", merchant_id="new-shop"))
    assert [decision.transaction_id for decision in recorded(own_store)][1:] == ["y"]


def test_zero_counts_and_less_is_refused_before_it_gets_here(payments: Payments, own_store: str) -> None:
    body = changed(sent(payments, 1)[0], card_id="never-seen")
    with till(payments, own_store) as one:
        one.reply(changed(body, transaction_id="z1", amount=0, timestamp="2026-01-20T10:00:00Z"))
        one.reply(changed(body, transaction_id="z2", amount=5, timestamp="2026-01-20T10:01:00Z"))
    found = behaviour_of(payments, recorded(own_store)[1])
    assert (found["card.count_1h"], found["card.sum_1h"]) == (1, 0)
    requests = RequestModel(payments.schema, 1)
    bad = {"amount": -1, "card_id": None, "latitude": 91, "currency": "USD", "timestamp": "2026-01-20T10:00:00"}
    for field, value in bad.items():
        with pytest.raises(Refused) as refusal:
            requests.one(changed(body, **{field: value}))
        assert [error.field for error in refusal.value.errors] == [field]


def test_states_that_left_memory_come_back_as_they_were(payments: Payments, own_store: str, tmp_path: Path) -> None:
    rows = sent(payments, 300)
    other = f"sqlite:///{tmp_path / 'roomy.db'}"
    with till(payments, own_store, Steps(save_after=5)) as one, till(payments, other, Steps(save_after=5)) as roomy:
        one.recorder.states._limit = 20_000
        for start in range(0, len(rows), 10):
            assert one.send(*rows[start : start + 10]) == roomy.send(*rows[start : start + 10])
        assert len(one.recorder.states) < len(roomy.recorder.states) / 2
    assert [d.features for d in recorded(own_store)] == [d.features for d in recorded(other)]


def test_a_kill_at_any_moment_leaves_states_that_equal_a_rebuild(payments: Payments, tmp_path: Path) -> None:
    rows, steps = sent(payments, 200), Steps(save_after=7)  # so that some states are saved and some are not
    with till(payments, f"sqlite:///{tmp_path / 'a.db'}", steps) as one:
        for number, row in enumerate(rows):
            reply = one.reply(row)
            if number % 9 == 0:
                one.recorder.label(reply["transaction_id"], "fraud", 2**51, 2**51, None)
        for file in tmp_path.glob("a.db*"):  # as a kill leaves them
            shutil.copy(file, tmp_path / file.name.replace("a.db", "b.db"))
    with till(payments, f"sqlite:///{tmp_path / 'b.db'}") as again:
        assert 0 < again.recorder.recovered.events < len(rows)
        origin = again.recorder.store.origin()
        assert origin is not None
        expected = rebuild(again.recorder.store, payments.schema, origin)
        found = again.recorder.states.peek(sorted(expected))
        assert same_states(payments.schema, expected, found)


def test_kill_after_kill_leaves_states_that_equal_a_rebuild(payments: Payments, tmp_path: Path) -> None:
    # What a start replays waits to be saved beside what comes later: the watermark must not pass it.
    rows = sent(payments, 280)
    for life in range(8):
        with till(payments, f"sqlite:///{tmp_path / f'{life}.db'}", Steps(save_after=60)) as one:
            origin = one.recorder.store.origin()
            assert origin is not None
            expected = rebuild(one.recorder.store, payments.schema, origin)
            assert same_states(payments.schema, expected, one.recorder.states.peek(sorted(expected)))
            for start in range(35 * life, 35 * (life + 1), 5):
                replies(one.send(*rows[start : start + 5]))
            for file in tmp_path.glob(f"{life}.db*"):  # as a kill leaves them
                shutil.copy(file, tmp_path / file.name.replace(f"{life}.db", f"{life + 1}.db"))


@pytest.mark.parametrize("later", [3, 5])
def test_a_second_kill_loses_nothing_of_what_the_first_one_left_unsaved(
    payments: Payments, own_store: str, later: int
) -> None:
    body = changed(sent(payments, 1)[0], card_id="one", merchant_id="shop")
    rows = [changed(body, transaction_id=f"k{i}", card_id=f"card-{i}") for i in range(1 + later)]
    kept = Till(payments.scorer, own_store, Steps(save_after=3))
    kept.reply(rows[0])
    kept.recorder.states.save_all()
    kept.recorder.label("k0", "fraud", 2**51, 2**51, None)  # the first event of the shop that is not saved
    kept.send(*rows[1:])
    for after in (f"k{later}", f"k{later - 1}"):
        kept.recorder.store.close()  # as a kill does: nothing is saved
        kept = Till(payments.scorer, own_store, Steps(save_after=3))
        kept.recorder.label(after, "disputed", 2**51, 2**51, None)  # saves what has waited longest
    kept.recorder.store.close()
    with till(payments, own_store) as again:
        origin = again.recorder.store.origin()
        assert origin is not None
        expected = rebuild(again.recorder.store, payments.schema, origin)
        assert same_states(payments.schema, expected, again.recorder.states.peek(sorted(expected)))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_memory_follows_the_log_and_never_leads(payments: Payments, own_store: str, moment: str) -> None:
    scorer = payments.scorer
    requests, encoder = RequestModel(scorer.schema, 10), Encoder(scorer.schema, scorer.vocabulary)
    engine = Engine(scorer)
    store = FaultyStore(open_store(own_store))
    states = StateCache(store, Behaviour(scorer.schema), 1 << 30)
    recovered = recover(store, scorer, states)
    assert isinstance(recovered, Recovered) and recovered.base > 0
    recorder = Recorder(states, lambda: recover(store, scorer, states), recovered)
    arrivals = [encoder.row(requests.one(body), ScoreOptions(0)) for body in sent(payments, 30)]
    first = told(recorder.answer(engine, arrivals[:10]))
    store.fail(Stop(writes=0, kept=moment == "after"))
    with pytest.raises(StoreUnavailable):
        recorder.answer(engine, arrivals[10:20])
    store.mend()
    recorder.answer(engine, arrivals[20:])
    assert told(recorder.answer(engine, arrivals[:10])) == first
    seen = [decision.transaction_id for decision in store.log() if isinstance(decision, Decision)]
    expected = [one.transaction_id for one in (arrivals if moment == "after" else [*arrivals[:10], *arrivals[20:]])]
    assert seen == expected
    origin = store.origin()
    assert origin is not None
    rebuilt = rebuild(store, scorer.schema, origin)
    assert same_states(scorer.schema, rebuilt, recorder.states.peek(sorted(rebuilt)))
    recorder.close()


def test_a_new_card_is_no_alarm_by_itself(payments: Payments, own_store: str) -> None:
    rows = sent(payments, 120)
    with till(payments, own_store) as one:
        usual = [one.reply(row)["is_anomaly"] for row in rows]
        fresh = [changed(row, transaction_id=f"n{i}", card_id=f"new-{i}") for i, row in enumerate(rows)]
        new = [one.reply(row)["is_anomaly"] for row in fresh]
    # The tiny model promises 5 % alerts; everything new at once may cost some more, but stays far from an alarm each.
    assert np.mean(new) < max(0.3, 3 * np.mean(usual))


def test_content_of_a_state_is_what_it_remembers(payments: Payments, own_store: str) -> None:
    body = changed(sent(payments, 1)[0], card_id="never-seen")
    with till(payments, own_store) as one:
        one.reply(changed(body, transaction_id="c1", timestamp="2026-01-20T10:00:00Z"))
        behaviour = Behaviour(payments.schema)
        card = behaviour.entities[0]
        (key,) = [k for k in one.recorder.states._states if k[0] == "card"]
        before = content(card, one.recorder.states.peek([key])[key])
        one.refusal(changed(body, transaction_id="c2", timestamp="2999-01-20T10:00:00Z"))
        assert np.array_equal(before, content(card, one.recorder.states.peek([key])[key]))


@pytest.mark.parametrize("table", ["decisions", "decision_keys", "labels", "states"])
def test_a_store_that_takes_no_decision_is_not_proven(payments: Payments, own_store: str, table: str) -> None:
    """Else readiness would come back while every transaction is refused."""
    body = sent(payments, 1)[0]
    with till(payments, own_store) as one, closing(sqlite3.connect(own_store.removeprefix("sqlite:///"))) as beside:
        one.recorder.try_store()
        beside.execute(f"CREATE TRIGGER broken BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'broken'); END")
        with pytest.raises(StoreUnavailable):
            one.recorder.try_store()
        beside.execute("DROP TRIGGER broken")
        one.recorder.try_store()
        one.reply(body)
