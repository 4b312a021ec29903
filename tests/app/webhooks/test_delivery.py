"""Every alert arrives, whatever becomes of the receiver and of the process; the log is the outbox, in each store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.store.contract import Store
from app.telemetry.logs import FIELDS
from app.webhooks.alert_log import AlertLog
from app.webhooks.cursors import Cursors
from app.webhooks.delivery import AT_ONCE, Delivery, pause
from app.webhooks.endpoints import Endpoint
from app.webhooks.event import Events
from app.webhooks.metrics import Metrics
from models.registry import Registry
from models.schema import load_schema
from tests.app.store.conftest import Backend
from tests.app.store.events import append, decision, key, label
from tests.app.webhooks.conftest import endpoint
from tests.app.webhooks.receiver import Receiver

HOUR = 3_600.0
#: 2026-01-31; the moment that decisions arrived at.
START = 1_769_817_600.0
ANSWER = {"reasons": [], "approximate": False}
BODY = {"timestamp": 1_769_817_000_000_000, "card_id": "card-7", "amount": 12.5}


def alert(transaction_id: str, verdict: str = "review", **changes: Any) -> Any:
    given: dict[str, Any] = {
        "reply": json.dumps(ANSWER).encode(),
        "body": json.dumps(BODY),
        "arrived_at": int(START * 1e6),
    }
    return decision(transaction_id, key("card-7"), decision=verdict, score=0.999, **(given | changes))


class Sending:
    """Deliveries from one store, and a clock that the test moves."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.log, self.folder, self.now = AlertLog(store), folder, START
        self.metrics = Metrics()
        self.events = Events(Registry(folder), load_schema("payments"))

    @contextmanager
    def cursors(self) -> Iterator[Cursors]:
        with closing(Cursors(self.folder / "webhooks.db", writes=True)) as found:
            yield found

    @contextmanager
    def to(self, one: Endpoint, cursors: Cursors) -> Iterator[Delivery]:
        delivery = Delivery(one, self.log, self.events, cursors, self.metrics, lambda: self.now)
        try:
            yield delivery
        finally:
            delivery.close()

    def counted(self, name: str, one: str = "queue", **labels: str) -> float:
        found = self.metrics.registry.get_sample_value(f"counterfoil_webhook_{name}", {"endpoint": one, **labels})
        assert found is not None
        return found


Sent = tuple[Store, Sending]


@pytest.fixture
def sending(sqlite_backend: Backend, opened: Callable[[Store], Store], tmp_path: Path) -> Sent:
    """A store that is written, and what sends from it."""
    store = opened(sqlite_backend.open())
    return store, Sending(opened(sqlite_backend.open(read_only=True)), tmp_path)


@pytest.fixture
def each_sending(backend: Backend, opened: Callable[[Store], Store], tmp_path: Path) -> Sent:
    """The same with each kind of store."""
    store = opened(backend.open())
    return store, Sending(opened(backend.open(read_only=True)), tmp_path)


def settle(delivery: Delivery) -> None:
    """Step until there is nothing to do for now."""
    while not delivery.step():
        pass


def ids(events: list[Any]) -> list[str]:
    return [f"alert_{one.seq}_{one.arrived_at}" for one in events if one.decision != "approve"]


def test_a_receiver_that_was_down_for_six_hours_gets_every_alert(
    each_sending: Sent, receivers: Callable[..., Receiver]
) -> None:
    store, send = each_sending
    down, well = receivers(), receivers()
    append(store, alert("before"))
    sent: list[Any] = []
    with (
        send.cursors() as cursors,
        send.to(endpoint(down.url), cursors) as late,
        send.to(endpoint(well.url, "well"), cursors) as other,
    ):
        settle(late)
        settle(other)
        down.stop()
        for step in range(24):
            send.now = START + step * HOUR / 4
            some = [alert(f"t{step}-{n}", verdict) for n, verdict in enumerate(("review", "decline", "approve"))]
            sent += append(store, *some, label(f"t{step}-0"))[:-1]
            settle(other)
            late.step()
            assert sorted(well.taken) == sorted(ids(sent))  # at once
        assert send.counted("lag_seconds") == 5.75 * HOUR and send.counted("lag_seconds", "well") == 0
        assert AT_ONCE < send.counted("attempts_total", outcome="failed") < AT_ONCE * 24  # pauses grow
        state = cursors.of("queue")
        assert state and state.failing == "Connection refused" and state.failing_since == START
        assert sum(bool(one.attempts) for one in state.open) == AT_ONCE  # the others are not tried in vain
        down.start()
        while cursors.of("queue").open:  # type: ignore[union-attr] # an attempt may fail once more: then it is later
            send.now += HOUR
            settle(late)
    assert sorted(down.taken) == sorted(ids(sent)) == sorted(well.taken)
    assert send.counted("attempts_total", outcome="delivered") == len(ids(sent))
    with send.cursors() as cursors:
        state = cursors.of("queue")
        assert state and not state.open and not state.failing and state.delivered == len(ids(sent))


def test_each_attempt_has_the_same_id_and_body_and_its_own_time(
    sending: Sent, receivers: Callable[..., Receiver]
) -> None:
    store, send = sending
    receiver = receivers(lambda _: 503)
    with send.cursors() as cursors:
        for attempt in range(3):  # a process of its own each
            with send.to(endpoint(receiver.url), cursors) as delivery:
                if not attempt:
                    delivery.step()
                    append(store, alert("t1"))
                send.now += HOUR
                delivery.step()
        receiver.status = lambda _: 200
        with send.to(endpoint(receiver.url), cursors) as delivery:
            delivery.step()
            assert len(receiver.got) == 3, "it is not due"
            send.now += HOUR
            settle(delivery)
    assert len(receiver.got) == 4
    assert len({(one.id, one.body) for one in receiver.got}) == 1
    assert len({one.headers["webhook-timestamp"] for one in receiver.got}) == 4


def test_a_restart_sends_nothing_twice(each_sending: Sent, receivers: Callable[..., Receiver]) -> None:
    store, send = each_sending
    receiver = receivers(lambda name: 500 if name in bad else 200)
    bad: set[str] = set()
    with send.cursors() as cursors:
        with send.to(endpoint(receiver.url), cursors) as delivery:
            settle(delivery)
            written = append(store, *(alert(f"t{n}") for n in range(40)))
            bad |= {ids(written)[3]}
            settle(delivery)
        assert len(receiver.taken) == 39
        with send.to(endpoint(receiver.url), cursors) as delivery:
            settle(delivery)
            assert len(receiver.taken) == 39
            bad.clear()
            send.now += HOUR
            settle(delivery)
    assert sorted(receiver.taken) == sorted(ids(written))


def test_an_alert_that_alone_is_refused_for_a_day_is_given_up(
    sending: Sent, receivers: Callable[..., Receiver]
) -> None:
    store, send = sending
    receiver = receivers()
    with send.cursors() as cursors, send.to(endpoint(receiver.url), cursors) as delivery:
        settle(delivery)
        (bad,) = ids(append(store, alert("bad")))
        receiver.status = lambda name: 400 if name == bad else 200
        for step in range(6):
            send.now = START + step * 5 * HOUR
            append(store, alert(f"t{step}"))
            settle(delivery)
        assert send.counted("given_up_total") == 1
        state = cursors.of("queue")
        assert state and (state.given_up, state.delivered, state.open) == (1, 6, ())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"reply": b'{"approximate":false}'}, "what was answered has no field 'reasons'"),
        ({"reply": b"[]"}, "what is recorded cannot be read (TypeError)"),
        ({"body": "{"}, "what is recorded cannot be read (ValueError)"),
    ],
)
def test_what_is_not_recorded_as_it_should_be_stops_nobody(
    sending: Sent, receivers: Callable[..., Receiver], caplog: pytest.LogCaptureFixture, changes: Any, why: str
) -> None:
    store, send = sending
    receiver = receivers()
    with send.cursors() as cursors, send.to(endpoint(receiver.url), cursors) as delivery:
        settle(delivery)
        first, bad, last = append(store, alert("t1"), alert("odd", **changes), alert("t3"))
        settle(delivery)
        assert sorted(receiver.taken) == sorted(ids([first, last]))
        assert send.counted("unreadable_total") == 1
        state = cursors.of("queue")
        assert state and (state.settled, state.given_up, state.delivered, state.open) == (last.seq, 1, 2, ())
    (record,) = [one for one in caplog.records if one.levelname == "ERROR"]
    assert getattr(record, FIELDS) == {"endpoint": "queue", "seq": bad.seq, "why": why}


def test_nothing_is_given_up_while_the_receiver_is_down(sending: Sent, receivers: Callable[..., Receiver]) -> None:
    store, send = sending
    receiver = receivers(lambda _: 500)
    with send.cursors() as cursors, send.to(endpoint(receiver.url), cursors) as delivery:
        settle(delivery)
        written = append(store, *(alert(f"t{n}") for n in range(20)))
        for step in range(6):
            send.now = START + step * 12 * HOUR
            settle(delivery)
        receiver.status = lambda _: 200
        send.now += HOUR
        settle(delivery)
    assert sorted(receiver.taken) == sorted(ids(written))


def test_gone_ends_it_until_it_is_enabled(sending: Sent, receivers: Callable[..., Receiver]) -> None:
    store, send = sending
    receiver = receivers(lambda _: 410)
    one = endpoint(receiver.url)
    with send.cursors() as cursors:
        with send.to(one, cursors) as delivery:
            settle(delivery)
            written = append(store, alert("t1"))
            settle(delivery)
            written += append(store, alert("t2"))
            send.now += HOUR
            settle(delivery)
            assert send.counted("gone") == 1
        receiver.status = lambda _: 200
        with send.to(one, cursors) as delivery:
            settle(delivery)
            assert len(receiver.got) == 1 and not receiver.taken
            delivery.endpoint = one.model_copy(update={"enabled_at": datetime.fromtimestamp(send.now, UTC)})
            settle(delivery)
    assert sorted(receiver.taken) == sorted(ids(written))


def test_what_was_erased_meanwhile_is_sent_to_nobody(sending: Sent, receivers: Callable[..., Receiver]) -> None:
    store, send = sending
    receiver = receivers(lambda _: 500)
    with send.cursors() as cursors, send.to(endpoint(receiver.url), cursors) as delivery:
        settle(delivery)
        written: Any = append(store, alert("t1"), alert("t2"))
        settle(delivery)
        store.compact({}, 2)
        store.erase(written[:1])
        receiver.status = lambda _: 200
        send.now += HOUR
        settle(delivery)
    assert receiver.taken == ids(written)[1:]


def test_an_event_says_what_the_log_says_and_no_more_than_is_wanted(
    tmp_path: Path, receivers: Callable[..., Receiver]
) -> None:
    events = Events(Registry(tmp_path), load_schema("payments"))
    one = alert("t1", "decline", seq=7, caller="the-bank")
    event = json.loads(events.of(one, transaction=False).body)
    data = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "id": f"alert_7_{one.arrived_at}",
        "source": "urn:counterfoil",
        "type": "counterfoil.alert.decline",
        "time": "2026-01-31T00:00:00Z",
        "subject": "t1",
        "datacontenttype": "application/json",
    }
    assert (data["transaction_id"], data["seq"], data["decision"]) == ("t1", 7, "decline")
    assert {"reasons", "score", "threshold", "model_version", "rules"} <= data.keys()
    assert not {"transaction", "caller", "label", "latency_ms"} & data.keys()
    more = json.loads(events.of(one, transaction=True).body)["data"]
    assert more["transaction"] == BODY | {"timestamp": "2026-01-30T23:50:00Z"}


def test_an_endpoint_gets_the_decisions_it_wants(sending: Sent, receivers: Callable[..., Receiver]) -> None:
    store, send = sending
    receiver = receivers()
    one = endpoint(receiver.url, decisions=("decline",))
    with send.cursors() as cursors, send.to(one, cursors) as delivery:
        settle(delivery)
        _, declined = append(store, alert("t1"), alert("t2", "decline"))
        settle(delivery)
    assert receiver.taken == ids([declined])


def test_pauses_grow_to_half_an_hour_and_spread() -> None:
    assert [pause(attempt, 0.5) for attempt in (1, 2, 3, 9, 10, 50)] == [5, 10, 20, 1_280, 1_800, 1_800]
    assert (pause(10, 0.0), pause(10, 1.0)) == (1_350, 2_250)
