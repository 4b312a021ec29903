"""Any order of payments, repeats, labels, restarts, saves and purges leaves what lists in memory would hold.

python -m pytest tests/app/test_state_machine.py                            # 36 histories
python -m pytest -p tests.long --long tests/app/test_state_machine.py       # 1,500; an hour
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.decisions.purge import Purge, Purged
from app.decisions.query import entity_key
from app.recording.check_log import ERASED, LogCheck
from app.recording.rebuild import rebuild
from app.recording.steps import Steps
from app.refusals import Conflict, Untimely
from app.requests.model import RequestModel
from app.requests.strict_object import Row
from app.store.errors import StoreInUse
from app.store.records import Decision, Label, LabelEvent
from models.registry import Registry
from models.rows import Batch
from tests import servers
from tests.app.decisions.test_purge import broken_off
from tests.app.faulty_store import Stop
from tests.app.memory import Memory, Paid, Unsaved
from tests.app.offline import same_states
from tests.app.records import Till, Told, sent
from tests.app.store.conftest import empty_redis
from tests.app.traffic import Payments
from tests.models.behaviour.streams import DAY, HOUR, SECOND, assert_equal
from tests.waiting import until

__all__ = ["empty_redis"]  # a fixture
#: Early enough that no history ends in the future.
#: Some states are saved and some are not, and a purge takes several steps.
SMALL = Steps(save_after=5, compact=7, erase=2)
START = datetime(2015, 2, 1, tzinfo=UTC)
_GAPS = st.sampled_from([0, 0, 1, SECOND, HOUR // 6, HOUR, 5 * HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY])
_LATE = st.sampled_from([0, 0, 0, 1, SECOND, HOUR, DAY, 3 * DAY, 3 * DAY + 1, 5 * DAY])
_PAYMENT = st.fixed_dictionaries(
    {
        "gap": _GAPS,
        "late": _LATE,
        "card_id": st.sampled_from(["machine-a", "machine-a", "machine-b"]),
        "merchant_id": st.sampled_from(["machine-x", "machine-x", "machine-y"]),
        "country": st.sampled_from(["DE", "FR"]),
        "amount": st.sampled_from([0.0, 0.01, 10.0, 10.0, 999.99]),
        "place": st.sampled_from([(0.0, 0.0), (48.1372154, 11.5761240), (-33.9, 151.2)]),
    }
)
_LABELS: st.SearchStrategy[Label] = st.sampled_from(["fraud", "fraud", "legitimate", "disputed"])
_ENTITIES = st.sampled_from(
    [("card", "machine-a"), ("card", "machine-b"), ("merchant", "machine-x"), ("merchant", "machine-y")]
)
#: After 1,000 writes: not at all.
_STOPS = st.builds(Stop, st.sampled_from([*range(16), *[1_000] * 4]), st.booleans())


class Machine(RuleBasedStateMachine):
    """A recorder on a real store beside the oracle.

    Args:
        payments: the model; its cards and merchants are not those of the machine.
        place: gives the URL of an empty store.
    """

    def __init__(self, payments: Payments, place: Callable[[], str]) -> None:
        super().__init__()
        self._payments, self._place = payments, place
        self._template = json.loads(sent(payments, 1)[0])
        self._requests = RequestModel(payments.schema, 1)
        self.memory, self._unsaved = Memory(payments.schema), Unsaved(payments.schema)
        self._clock = START
        self._count = 0
        self.till: Till

    @initialize()
    def open(self) -> None:
        self._url = self._place()
        self.till = self._opened()

    @rule(drawn=st.lists(_PAYMENT, min_size=1, max_size=6))
    def pay(self, drawn: list[dict[str, Any]]) -> None:
        """Some transactions in one transaction of the store."""
        self._record([self._body(one) for one in drawn])

    @precondition(lambda self: self.memory.log)
    @rule(which=st.integers(0, 50), amount=st.sampled_from([1.0, 50.0]))
    def tie(self, which: int, amount: float) -> None:
        """Another one of the same card at the same time."""
        self._record([{**self._known(which).body, "transaction_id": self._name(), "amount": amount}])

    @precondition(lambda self: self.memory.log)
    @rule(
        which=st.integers(0, 50),
        other=st.sampled_from(["card_id", "merchant_id"]),
        late=st.sampled_from([3 * DAY, 3 * DAY + 1, 3 * DAY + 1, 4 * DAY]),
    )
    def late(self, which: int, other: str, late: int) -> None:
        """One so late for its card or merchant that it only just counts, or is refused; the other of them is new."""
        body = {**self._known(which).body, "transaction_id": self._name(), other: self._name()}
        same = "merchant" if other == "card_id" else "card"
        newest = max(event.time for event in self.memory.seen[same, body[f"{same}_id"]])
        moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=newest - late)
        self._record([{**body, "timestamp": moment.isoformat()}])

    @precondition(lambda self: self.memory.log)
    @rule(which=st.integers(0, 50), times=st.integers(1, 3))
    def repeat(self, which: int, times: int) -> None:
        """The same again: the stored answer."""
        known = self._known(which)
        assert self.till.send(*[encoded(known.body)] * times, reasons=3) == [known.reply] * times

    @precondition(lambda self: self.memory.log)
    @rule(which=st.integers(0, 50), drawn=_PAYMENT)
    def conflict(self, which: int, drawn: dict[str, Any]) -> None:
        """Another one under a known id."""
        body = {**self._body(drawn), "transaction_id": self._known(which).name, "amount": 77.77}
        assert isinstance(self.till.refusal(encoded(body)), Conflict)

    @rule(drawn=_PAYMENT)
    def pay_twice_at_once(self, drawn: dict[str, Any]) -> None:
        """One transaction and its repetition in one transaction of the store."""
        self._record([self._body(drawn)], again=True)

    @precondition(lambda self: self.memory.log)
    @rule(
        some=st.lists(st.integers(0, 50), min_size=1, max_size=4),
        label=_LABELS,
        later=st.sampled_from([0, HOUR, 8 * DAY]),
    )
    def label(self, some: list[int], label: Label, later: int) -> None:
        """What became known."""
        for which in some:
            self._label(self._known(which), label, later)

    @precondition(lambda self: self.memory.told)
    @rule(which=st.integers(0, 50), label=_LABELS, later=st.sampled_from([0, HOUR]))
    def relabel(self, which: int, label: Label, later: int) -> None:
        """The same again, or otherwise."""
        labelled = [paid for paid in self.memory.log if paid.labels]
        self._label(labelled[which % len(labelled)], label, later)

    @rule(which=st.integers(0, 50))
    def label_nothing(self, which: int) -> None:
        """A label for what is not recorded, or not any more."""
        names = ["nobody", *(paid.name for paid in self.memory.erased)]
        assert not self.till.recorder.label(names[which % len(names)], "fraud", 2**51, 2**51, None)

    @precondition(lambda self: len(self.memory.log) > 4)
    @rule(which=st.integers(0, 50), later=st.booleans(), stop=_STOPS, crash=st.booleans())
    def purge_before(self, which: int, later: bool, stop: Stop, crash: bool) -> None:
        """Erase what arrived before another did, or that one as well."""
        moment = self._known(which).arrived_at + later
        erased = [paid for paid in self.memory.log if paid.arrived_at < moment]
        self._purge(erased, lambda purge: purge.before(moment), stop, crash)
        self._states_follow_from_the_log()

    @precondition(lambda self: len(self.memory.log) > 4)
    @rule(entity=_ENTITIES, stop=_STOPS, crash=st.booleans())
    def purge_entity(self, entity: tuple[str, str], stop: Stop, crash: bool) -> None:
        """Erase a card or a merchant: what is recorded of it, and its state."""
        (section, value), key = entity, entity_key(*entity)
        erased = [paid for paid in self.memory.log if paid.body[f"{section}_id"] == value]
        done = self._purge(erased, lambda purge: purge.entity(key), stop, crash)
        if done:
            assert not self.till.recorder.states.peek([key]) and not self.till.recorder.store.base_states([key])
        if entity in self.memory.seen and not self.till.recorder.states.peek([key]):  # it goes with the last write
            assert done or stop.kept
            assert not any(paid.body[f"{section}_id"] == value for paid in self.memory.log)
            del self.memory.seen[entity], self._unsaved.states[key]
        self._states_follow_from_the_log()

    @precondition(lambda self: self.memory.erased)
    @rule(which=st.integers(0, 50), drawn=st.one_of(st.none(), _PAYMENT))
    def pay_erased(self, which: int, drawn: dict[str, Any] | None) -> None:
        """What was erased again, or another one under its id: new to the log."""
        erased = self.memory.erased[which % len(self.memory.erased)]
        self._record([{**(self._body(drawn) if drawn else erased.body), "transaction_id": erased.name}])

    @rule()
    def save(self) -> None:
        """All states to the store."""
        self.till.recorder.states.save_all()

    @rule()
    def forget(self) -> None:
        """Saved states leave memory."""
        live = self.till.recorder.states
        limit, live._limit = live._limit, 0
        live.evict()
        live._limit = limit

    @rule()
    def restart(self) -> None:
        """Stop and start: states are saved."""
        self.till.recorder.close()
        self.till = self._opened()

    @rule()
    def crash(self) -> None:
        """Lose what is in memory only."""
        self._lose_memory()
        self._states_follow_from_the_log()

    @invariant()
    def the_log_is_what_was_answered(self) -> None:
        """Each once, in order, as answered; each label that changed something."""
        log = list(self.till.recorder.store.log())
        decisions = [event for event in log if isinstance(event, Decision)]
        labels = [event for event in log if isinstance(event, LabelEvent)]
        assert [(one.transaction_id, one.reply) for one in decisions] == list(self.memory.replies())
        assert [(one.transaction_id, one.label, one.change) for one in labels] == self.memory.told

    def teardown(self) -> None:
        """The end of a run."""
        if hasattr(self, "till"):
            self._states_follow_from_the_log()
            self._the_log_can_be_checked()
            self.till.recorder.close()

    def _record(self, bodies: list[dict[str, Any]], *, again: bool = False) -> None:
        """Send transactions at once, the last one twice if so asked; compare what comes of them with the oracle."""
        arriving = [self.memory.arriving(body) for body in bodies]
        expected: list[dict[str, float] | None] = []
        accepted: list[Paid] = []
        for one in arriving:
            expected.append(self.memory.features(one, accepted))
            accepted += [one] if expected[-1] is not None else []
        content = [encoded(body) for body in bodies]
        (before,) = self.till.send_unlogged(content[0])
        answers = self.till.send(*content, *content[-1:] * again)
        if again:
            repeated = answers.pop()
            assert repeated == answers[-1] or expected[-1] is None
        for one, features, answer in zip(arriving, expected, answers, strict=True):
            if features is None:
                assert isinstance(answer, Untimely)
                continue
            assert isinstance(answer, bytes)
            one.reply = answer
            self._is_kept(one, features)
            self.memory.record(one)
        self._scored_the_same_unlogged(before, answers[0])

    def _label(self, known: Paid, label: Label, later: int) -> None:
        moment = known.event.time + later
        assert self.till.recorder.label(known.name, label, moment, moment, None)
        self._unsaved.label(self._row(known), self.memory.label(known, label, moment))

    def _purge(self, erased: list[Paid], work: Callable[[Purge], Purged], stop: Stop, crash: bool) -> bool:
        """Whether it came to its end; broken off, it may have erased some of these only."""
        purged = broken_off(self.till.recorder, self._payments.schema, work, stop)
        if purged is None:
            erased = [paid for paid in erased if self.till.recorder.store.find(paid.name) is None]
        else:
            assert (purged.decisions, purged.scrubbed) == (len(erased), True)
        self.memory.erase(erased)
        if crash:
            self._lose_memory()
        return purged is not None

    def _lose_memory(self) -> None:
        self.till.recorder.store.close()
        self.till = self._opened()

    def _is_kept(self, one: Paid, features: dict[str, float]) -> None:
        decision = self.till.recorder.store.find(one.name)
        assert decision is not None
        one.arrived_at = decision.arrived_at
        reply, schema = json.loads(one.reply), self._payments.schema
        assert (reply["transaction_id"], reply["score"], reply["logged"]) == (one.name, decision.score, True)
        values = Batch.from_bytes(decision.features, len(schema.numeric)).numeric[0]
        assert_equal(features, dict(zip(schema.numeric, values.tolist(), strict=True)))
        behaviour = self._unsaved.pay(self._row(one))
        assert values[-len(behaviour) :].tobytes() == behaviour.tobytes()

    def _scored_the_same_unlogged(self, before: Told, answer: Told) -> None:
        """Where memory held all that it takes."""
        if isinstance(before, bytes) and not json.loads(before)["approximate"]:
            assert isinstance(answer, bytes)
            assert json.loads(answer) == {**json.loads(before), "logged": True}

    def _states_follow_from_the_log(self) -> None:
        recorder, schema = self.till.recorder, self._payments.schema
        origin = recorder.store.origin()
        assert origin is not None
        rebuilt = rebuild(recorder.store, schema, origin)
        assert same_states(schema, rebuilt, recorder.states.peek(sorted(rebuilt)))
        assert same_states(schema, self._unsaved.states, recorder.states.peek(sorted(self._unsaved.states)))

    def _the_log_can_be_checked(self) -> None:
        """What is not compacted, from what was; nothing is different."""
        found = LogCheck(self.till.recorder.store, Registry(self._payments.artifacts), self._payments.scorer).all(0)
        assert found.mismatches == []
        assert found.decisions + found.skipped.get(ERASED, 0) == len(self.memory.log)

    def _body(self, drawn: dict[str, Any]) -> dict[str, Any]:
        self._clock += timedelta(microseconds=drawn["gap"])
        latitude, longitude = drawn["place"]
        return {
            **self._template,
            **{name: drawn[name] for name in ("card_id", "merchant_id", "country", "amount")},
            "transaction_id": self._name(),
            "timestamp": (self._clock - timedelta(microseconds=drawn["late"])).isoformat(),
            "latitude": latitude,
            "longitude": longitude,
        }

    def _name(self) -> str:
        """Never used before."""
        self._count += 1
        return f"machine-{self._count}"

    def _row(self, paid: Paid) -> Row:
        return self._requests.one(encoded(paid.body))

    def _known(self, which: int) -> Paid:
        return self.memory.log[which % len(self.memory.log)]

    def _opened(self) -> Till:
        # A server notices a moment later that its client is gone.
        return until(
            lambda: Till(self._payments.scorer, self._url, SMALL), "a store that is free", not_yet=(StoreInUse,)
        )


def encoded(body: dict[str, Any]) -> bytes:
    """As it is sent."""
    return json.dumps(body).encode()


@pytest.fixture
def sqlite_places(tmp_path: Path) -> Callable[[], str]:
    """A file for each run."""
    return lambda: f"sqlite:///{tmp_path / secrets.token_hex(6)}.db"


@pytest.fixture
def postgresql_places() -> Iterator[Callable[[], str]]:
    """A schema for each run, in a database for all."""
    with servers.postgresql() as url, psycopg.connect(url, autocommit=True) as connection:

        def place() -> str:
            schema = f"run_{secrets.token_hex(6)}"
            connection.execute(f"CREATE SCHEMA {schema}".encode())
            return f"{url}?options=-csearch_path%3D{schema}"

        yield place


@pytest.fixture
def shared_postgresql_places(postgresql_places: Callable[[], str]) -> Callable[[], str]:
    """The same, for several processes."""
    return lambda: f"{postgresql_places()}&shared=true"


@pytest.fixture
def redis_places(empty_redis: Callable[[], str]) -> Callable[[], str]:
    """The same database for each run, empty."""
    return empty_redis


@pytest.mark.parametrize(("kind", "runs"), [("sqlite", 8), ("postgresql", 4), ("shared_postgresql", 3), ("redis", 4)])
def test_the_store_remembers_what_a_list_would(
    payments: Payments, request: pytest.FixtureRequest, kind: str, runs: int
) -> None:
    place = request.getfixturevalue(f"{kind}_places")
    if request.config.getoption("--long", default=False):
        runs = {"sqlite": 600, "postgresql": 300, "shared_postgresql": 300, "redis": 300}[kind]
    limits = settings(max_examples=runs, stateful_step_count=40, suppress_health_check=list(HealthCheck))

    class Here(Machine):
        def __init__(self) -> None:
            super().__init__(payments, place)

    run_state_machine_as_test(Here, settings=limits)
