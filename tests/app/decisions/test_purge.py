"""Erased means erased, and what remains goes on as if nothing had been erased."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from app.decisions.purge import Purge, Purged
from app.decisions.query import entity_key
from app.recording.check_log import ERASED, LogCheck
from app.recording.rebuild import rebuild
from app.recording.recorder import Recorder
from app.recording.steps import Steps
from app.service import create_app
from app.settings import Settings
from app.store.errors import StoreInUse, StoreUnavailable
from app.store.open import open_store
from app.store.records import Decision, Label, LabelEvent
from models.behaviour.keys import EntityKey
from models.behaviour.layout import UNKNOWN
from models.errors import InvalidInput
from models.registry import Registry
from models.schema import TransactionSchema
from models.scorer import Scorer
from tests.app import records
from tests.app.calls import CARDS, Client
from tests.app.decisions.test_decisions import ask
from tests.app.faulty_store import FaultyStore, Stop
from tests.app.offline import same_states
from tests.app.recording.test_recorder import behaviour_of
from tests.app.records import Till, changed, sent
from tests.app.store.conftest import (
    empty_redis,
    postgresql_backend,
    postgresql_server,
    shared_postgresql_backend,
    shared_store,
    sqlite_backend,
    url,
)
from tests.app.traffic import Payments, label_body
from tests.command_line import Cli
from tests.waiting import FAR

__all__ = [  # fixtures
    "empty_redis",
    "postgresql_backend",
    "postgresql_server",
    "shared_postgresql_backend",
    "shared_store",
    "sqlite_backend",
    "url",
]
LATE = 2**51
_JSON = {"Content-Type": "application/json"}
FIRST, THEN, CARD = 160, 60, "card-to-forget"
#: Some states are saved and some are not, and a purge takes several steps.
SMALL = Steps(save_after=40, compact=37, erase=30)
till = partial(records.till, steps=SMALL)


def events(url: str) -> tuple[list[Decision], list[LabelEvent]]:
    store = open_store(url, read_only=True)
    found = list(store.log())
    store.close()
    return [e for e in found if isinstance(e, Decision)], [e for e in found if isinstance(e, LabelEvent)]


def fill(one: Till, rows: list[bytes]) -> list[str]:
    """Record them; one in seven turns out to be fraud, some of it much later. Returns the ids."""
    ids: list[str] = []
    for number, row in enumerate(rows):
        ids.append(one.reply(row)["transaction_id"])
        if number % 7 == 3:
            one.recorder.label(ids[number // 2 if number % 2 else number], "fraud", LATE, LATE, None)
    return ids


def follows(one: Till, payments: Payments) -> bool:
    """Whether the live states are what the base and the log make."""
    origin = one.recorder.store.origin()
    assert origin is not None
    expected = rebuild(one.recorder.store, payments.schema, origin)
    return same_states(payments.schema, expected, one.recorder.states.peek(sorted(expected)))


@contextmanager
def checking(payments: Payments, url: str, at_once: int = 100) -> Iterator[LogCheck]:
    with closing(open_store(url, read_only=True)) as store:
        yield LogCheck(store, Registry(payments.artifacts), payments.scorer, at_once)


def keys_of(url: str) -> list[EntityKey]:
    return sorted({key for decision in events(url)[0] for key in decision.keys})


def broken_off(
    recorder: Recorder, schema: TransactionSchema, work: Callable[[Purge], Purged], stop: Stop
) -> Purged | None:
    """What a purge comes to; None where it was broken off."""
    store = recorder.store
    recorder.states.store = FaultyStore(store, stop)
    try:
        return work(Purge(recorder, schema))
    except StoreUnavailable:
        return None
    finally:
        recorder.states.store = store


@pytest.mark.parametrize("at_once", [True, False])
def test_before_a_time_then_all_goes_on_as_without(payments: Payments, url: str, tmp_path: Path, at_once: bool) -> None:
    rows, plain = sent(payments, FIRST + THEN), f"sqlite:///{tmp_path / 'plain.db'}"
    with till(payments, url) as one, till(payments, plain) as other:
        assert fill(one, rows[:FIRST]) == fill(other, rows[:FIRST])
        moment = events(url)[0][100].arrived_at
        if not at_once:
            Purge(one.recorder, payments.schema).before(events(url)[0][40].arrived_at)
        purged = Purge(one.recorder, payments.schema).before(moment)
        assert purged.scrubbed and purged.decisions == (100 if at_once else 60)
        kept, labels = events(url)
        assert [decision.arrived_at >= moment for decision in kept] == [True] * (FIRST - 100)
        assert {label.transaction_id for label in labels} <= {decision.transaction_id for decision in kept}
        assert follows(one, payments)
        assert Purge(one.recorder, payments.schema).before(moment).decisions == 0
    with till(payments, url) as one, till(payments, plain) as other:
        again = [one.send(*rows[i : i + 5]) for i in range(FIRST, FIRST + THEN, 5)]
        assert again == [other.send(*rows[i : i + 5]) for i in range(FIRST, FIRST + THEN, 5)]
        name = json.loads(rows[FIRST - 1])["transaction_id"]
        assert one.recorder.label(name, "fraud", LATE, LATE, None) and other.recorder.label(
            name, "fraud", LATE, LATE, None
        )
        every = keys_of(plain)
        assert same_states(payments.schema, one.recorder.states.peek(every), other.recorder.states.peek(every))
        assert follows(one, payments)
    features = {decision.transaction_id: decision.features for decision in events(plain)[0]}
    assert all(decision.features == features[decision.transaction_id] for decision in events(url)[0])
    with checking(payments, url) as check:
        found = check.all(0)
    later = [decision for decision in events(plain)[0] if decision.seq > purged.compacted]
    assert (found.decisions, found.mismatches) == (len(later), [])
    assert found.skipped == {ERASED: FIRST + THEN - 100 - len(later)}


def card_rows(payments: Payments, number: int) -> list[bytes]:
    """Payments, every fourth with the card that is to be forgotten."""
    rows = sent(payments, number)
    return [changed(row, card_id=CARD) if i % 4 == 0 else row for i, row in enumerate(rows)]


def test_a_card_is_forgotten_and_the_others_go_on(payments: Payments, url: str, tmp_path: Path) -> None:
    rows, plain = card_rows(payments, FIRST + THEN), f"sqlite:///{tmp_path / 'plain.db'}"
    key = entity_key("card", CARD)
    with till(payments, url) as one, till(payments, plain) as other:
        fill(one, rows[:FIRST])
        fill(other, rows[:FIRST])
        everything = len(events(plain)[0]) + len(events(plain)[1])
        purged = Purge(one.recorder, payments.schema).entity(key)
        assert purged == Purged(FIRST // 4, everything, True)
        assert one.recorder.states.peek([key]) == {} and one.recorder.store.base_states([key]) == {}
        kept, labels = events(url)
        assert not [decision for decision in kept if key in decision.keys]
        assert {label.transaction_id for label in labels} <= {decision.transaction_id for decision in kept}
        assert follows(one, payments)
    with till(payments, url) as one, till(payments, plain) as other:
        again = one.send(*rows[FIRST:])
        expected = other.send(*rows[FIRST:])
        mine = [CARD.encode() in row for row in rows[FIRST:]]
        assert [a == b for a, b, is_mine in zip(again, expected, mine, strict=True) if not is_mine] == [True] * 45
        # The card begins anew, so what it is told differs; the others', and their states, do not.
        others = [one_key for one_key in keys_of(plain) if one_key != key]
        assert same_states(payments.schema, one.recorder.states.peek(others), other.recorder.states.peek(others))
        assert follows(one, payments)
    last, old = (json.loads(rows[i])["transaction_id"] for i in (-1, 1))
    with checking(payments, url) as check:
        found = check.all(0)
        assert (found.decisions, found.mismatches, found.skipped) == (THEN, [], {ERASED: FIRST - FIRST // 4})
    with checking(payments, url) as check:
        assert check.one(last)[1].mismatches == []
        with pytest.raises(InvalidInput, match="cannot be checked: erased history"):
            check.one(old)


def test_one_that_is_not_known_costs_no_history(payments: Payments, own_store: str) -> None:
    with till(payments, own_store) as one:
        fill(one, sent(payments, FIRST))
        nobody = entity_key("card", "nobody")
        assert Purge(one.recorder, payments.schema).entity(nobody) == Purged(0, 0, True)
    with checking(payments, own_store) as check:
        assert check.all(0).skipped == {}


def test_a_label_of_a_compacted_decision_counts_after_compaction(payments: Payments, url: str) -> None:
    body = changed(sent(payments, 1)[0], merchant_id="new-shop")

    def pay(name: str, moment: str, card: str) -> bytes:
        return changed(body, transaction_id=name, card_id=card, timestamp=f"2026-01-{moment}:00:00Z")

    with till(payments, url) as one:
        one.send(pay("a", "10T10", "one"), pay("b", "10T10", CARD))
        Purge(one.recorder, payments.schema).entity(entity_key("card", CARD))
        assert one.recorder.label("a", "fraud", LATE, LATE, None)
        one.send(pay("c", "17T11", "two"), pay("d", "18T11", "three"))
        last = events(url)[0][-2]
        assert behaviour_of(payments, last)["merchant.fraud_share_1d"] > 0
        assert follows(one, payments)
    with checking(payments, url, at_once=1) as check:
        found = check.all(0)
    assert (found.decisions, found.mismatches, found.skipped) == (2, [], {ERASED: 1})


def test_the_last_decisions_places_are_not_given_away_again(payments: Payments, url: str) -> None:
    rows = card_rows(payments, 5)  # the last one is the card's
    with till(payments, url) as one:
        one.send(*rows)
        Purge(one.recorder, payments.schema).entity(entity_key("card", CARD))
    with till(payments, url) as one:
        one.send(rows[4])
        *old, new = (decision.seq for decision in events(url)[0])
        assert old == [2, 3, 4] and new > 5
        assert follows(one, payments)


def test_nothing_of_it_is_in_the_files(payments: Payments, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    rows = card_rows(payments, FIRST)
    with till(payments, url) as one:
        ids = fill(one, rows)
        gone = [name for name, row in zip(ids, rows, strict=True) if CARD.encode() in row]
        needles = [CARD, *(f'"{name}"' for name in gone)]

        def found() -> list[str]:
            content = b"".join(file.read_bytes() for file in tmp_path.glob("log.db*"))
            return [needle for needle in needles if needle.encode() in content]

        assert found() == needles
        assert Purge(one.recorder, payments.schema).entity(entity_key("card", CARD)).scrubbed
        assert found() == []  # while the store is open: the write-ahead log is empty, too
        kept, _ = events(url)
        needles = [f'"{decision.transaction_id}"' for decision in kept]
        assert found() == needles
        assert Purge(one.recorder, payments.schema).before(LATE).decisions == len(kept)
        assert found() == []


@pytest.mark.parametrize("kept", [False, True])
def test_broken_off_anywhere_it_leaves_a_whole_store_and_goes_on(
    payments: Payments, tmp_path: Path, kept: bool
) -> None:
    rows, key = card_rows(payments, 90), entity_key("card", CARD)
    with till(payments, f"sqlite:///{tmp_path / 'plain.db'}") as plain:
        fill(plain, rows[:80])
        expected = plain.send(*rows[80:])
    mine = [CARD.encode() in row for row in rows[80:]]
    for writes in range(40):
        url = f"sqlite:///{tmp_path / f'{writes}.db'}"
        with till(payments, url) as one:
            fill(one, rows[:80])
            purged = broken_off(one.recorder, payments.schema, lambda purge: purge.entity(key), Stop(writes, kept))
            for file in tmp_path.glob(f"{writes}.db*"):  # as a kill leaves them
                shutil.copy(file, tmp_path / file.name.replace(".db", "-killed.db"))
            one.send(rows[80])  # the card's: memory is not ahead of the store
            assert follows(one, payments)
        url = f"sqlite:///{tmp_path / f'{writes}-killed.db'}"
        with till(payments, url) as one:
            assert follows(one, payments)
            Purge(one.recorder, payments.schema).entity(key)
            assert follows(one, payments)
            assert not [decision for decision in events(url)[0] if key in decision.keys]
            again = one.send(*rows[80:])
            assert all(a == b for a, b, is_mine in zip(again, expected, mine, strict=True) if not is_mine)
        if purged:
            break
    assert purged and writes > 5


@pytest.mark.parametrize("kept", [False, True])
def test_broken_off_anywhere_beside_others_it_goes_on(
    payments: Payments, empty_redis: Callable[[], str], kept: bool
) -> None:
    rows, key = card_rows(payments, 90), entity_key("card", CARD)
    for writes in range(40):
        url = empty_redis()
        with till(payments, url) as one, till(payments, url) as other:
            fill(one, rows[:80])
            purged = broken_off(one.recorder, payments.schema, lambda purge: purge.entity(key), Stop(writes, kept))
            other.send(rows[80])  # the card's
            assert follows(other, payments)
            Purge(other.recorder, payments.schema).entity(key)
            assert follows(one, payments)
            assert not [decision for decision in events(url)[0] if key in decision.keys]
            one.send(*rows[81:])
            assert follows(other, payments)
        if purged:
            break
    assert purged and writes > 4


def test_two_purges_of_two_processes_take_turns(payments: Payments, shared_store: str) -> None:
    with till(payments, shared_store) as one, till(payments, shared_store) as other:
        one.send(*sent(payments, 3))
        with one.recorder.store.purging(), pytest.raises(StoreInUse, match="another purge is running"):
            Purge(other.recorder, payments.schema).before(LATE)
        assert Purge(other.recorder, payments.schema).before(LATE).decisions == 3


def test_others_write_while_it_is_erased(payments: Payments, shared_store: str) -> None:
    """Payments of the card that goes, of others, and labels of what goes, from two other processes."""
    url, rows, key = shared_store, card_rows(payments, FIRST + THEN), entity_key("card", CARD)
    verdicts: tuple[Label, ...] = ("fraud", "legitimate")

    def pay(mine: list[bytes]) -> None:
        with till(payments, url) as one:
            fill(one, mine)

    def label(names: list[str]) -> None:
        with till(payments, url) as one:
            for name, verdict in product(names, verdicts):
                one.recorder.label(name, verdict, LATE, LATE, None)

    with till(payments, url) as one, ThreadPoolExecutor() as others:
        names = fill(one, rows[:FIRST])
        moment = events(url)[0][FIRST // 2].arrived_at
        writing = [others.submit(pay, rows[FIRST:]), others.submit(label, names)]
        purge, kinds = Purge(one.recorder, payments.schema), 0
        while kinds < 2 or not all(each.done() for each in writing):
            purge.before(moment) if kinds % 2 else purge.entity(key)
            kinds += 1
        for each in writing:
            each.result()
        assert follows(one, payments)
        purge.entity(key)
        purge.before(moment)
        assert follows(one, payments)
        kept, labels = events(url)
        assert {label.transaction_id for label in labels} <= {decision.transaction_id for decision in kept}
        assert not [one for one in kept if key in one.keys or one.arrived_at < moment]
        one.send(*sent(payments, 20))
    with checking(payments, url) as check:
        assert check.all(0).mismatches == []


def test_while_a_decision_is_left_so_is_the_state_that_its_label_counts_in(payments: Payments, tmp_path: Path) -> None:
    body, key = changed(sent(payments, 1)[0], merchant_id="new-shop"), entity_key("merchant", "new-shop")

    def pay(name: str, day: int) -> bytes:
        return changed(body, transaction_id=name, card_id=f"card-{name}", timestamp=f"2026-01-{day}T10:00:00Z")

    for writes in range(10):
        url = f"sqlite:///{tmp_path / f'{writes}.db'}"
        with till(payments, url) as one:
            one.send(pay("a", 10))
            one.recorder.label("a", "fraud", LATE, LATE, None)
            stop = Stop(writes, kept=False)
            purged = broken_off(one.recorder, payments.schema, lambda purge: purge.entity(key), stop)
            one.send(pay("b", 10))  # at the same time
            labelled = one.recorder.label("a", "legitimate", LATE, LATE, None)
            one.send(pay("c", 20))
            share = behaviour_of(payments, events(url)[0][-1])["merchant.fraud_share_28d"]
            assert share == (0 if labelled or purged else 1 / (2 + UNKNOWN))  # one in two, shrunk
        if purged:
            break
    assert purged and writes > 2


@pytest.fixture
def serving(payments: Payments, own_store: str) -> Iterator[FastAPI]:
    app = create_app(Settings(database_url=own_store, artifacts=payments.artifacts), payments.scorer)
    app.state.serving.ledger.recorder.states.steps = SMALL
    yield app
    app.state.serving.close()


def test_a_running_service_erases_and_scores_on(payments: Payments, serving: FastAPI, own_store: str) -> None:
    client, rows = Client(serving), card_rows(payments, FIRST + THEN)
    for row in rows[:FIRST]:
        headers = {**_JSON, "Idempotency-Key": json.loads(row)["transaction_id"]}
        assert client.post("/v1/score?reasons=0", content=row, headers=headers).status_code == 200
    statuses: list[int] = []

    def score() -> None:
        for row in rows[FIRST:]:
            statuses.append(Client(serving).post("/v1/score?reasons=0", content=row, headers=_JSON).status_code)

    scoring = threading.Thread(target=score)
    scoring.start()
    answer = client.post("/v1/purge", json={"card": CARD})
    scoring.join()
    assert answer.status_code == 200, answer.text
    assert statuses == [200] * THEN
    erased = answer.json()
    assert erased["decisions"] >= FIRST // 4 and erased["scrubbed"] is True
    left = client.get(f"/v1/decisions?card={CARD}").json()["decisions"]
    assert len(left) == (FIRST + THEN) // 4 - erased["decisions"]  # what arrived while it was being erased
    gone = json.loads(rows[0])["transaction_id"]
    assert client.get(f"/v1/decisions/{gone}").status_code == 404
    assert client.post("/v1/feedback", content=label_body(gone, "fraud"), headers=_JSON).status_code == 404
    headers = {**_JSON, "Idempotency-Key": gone}
    again = client.post("/v1/score", content=rows[0], headers=headers)
    assert again.status_code == 200 and "idempotency-replayed" not in again.headers
    with checking(payments, own_store) as check:
        found = check.all(0)
    assert not found.mismatches and found.skipped[ERASED] > 0
    moment = client.get("/v1/decisions?limit=1").json()["decisions"][0]["arrived_at"]
    assert client.post("/v1/purge", json={"before": moment}).json()["decisions"] > 0
    assert len(client.get("/v1/decisions").json()["decisions"]) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"card": "a", "before": "2026-01-01T00:00:00Z"}, ""),
        ({"before": "2999-01-01T00:00:00Z"}, "before"),
        ({"before": "400"}, "before"),
        ({"before": "2026-01-01T00:00:00"}, "before"),
        ({"before": 7}, "before"),
        ({"before": None}, "before"),
        ({"card": ""}, "card"),
        ({"card": 7}, "card"),
        ({"card": CARDS[0]}, "card"),
        ({"shop": "a"}, "shop"),
        ([], ""),
    ],
)
def test_any_other_purge_is_refused(serving: FastAPI, body: Any, field: str) -> None:
    answer = Client(serving).post("/v1/purge", json=body)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:counterfoil:problem:invalid-purge"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert CARDS[0] not in answer.text
    assert Client(serving).post("/v1/purge?card=a", json={}).status_code == 422
    assert Client(serving).post("/v1/purge", content=b"{}").status_code == 415


def test_before_may_be_a_duration(payments: Payments, serving: FastAPI) -> None:
    client = Client(serving)
    client.post("/v1/score", content=sent(payments, 1)[0], headers=_JSON)
    for before, erased in (("400d", 0), ("1h", 0), ("0s", 1)):
        answer = client.post("/v1/purge", json={"before": before})
        assert (answer.status_code, answer.json()["decisions"]) == (200, erased)


def test_one_purge_at_a_time(payments: Payments, serving: FastAPI) -> None:
    client = Client(serving)
    client.post("/v1/score", content=sent(payments, 1)[0], headers=_JSON)
    ledger, gate = serving.state.serving.ledger, threading.Event()

    async def two() -> list[int]:
        import httpx

        busy = asyncio.ensure_future(ledger.run(gate.wait))
        await asyncio.sleep(0)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(serving), base_url="http://test") as both:
            first = asyncio.ensure_future(both.post("/v1/purge", json={"card": "a"}))
            async with asyncio.timeout(FAR):
                while not serving.state.decisions.purging:
                    await asyncio.sleep(0)
            second = await both.post("/v1/purge", json={"card": "b"})
            gate.set()
            await busy
            return [(await first).status_code, second.status_code]

    assert asyncio.run(two()) == [200, 409]


def test_the_command_line_erases_what_no_service_has_open(cli: Cli, payments: Payments, own_store: str) -> None:
    place = ("--database", own_store, "--artifacts", payments.artifacts)
    with till(payments, own_store) as one:
        fill(one, card_rows(payments, 40))
        refused = cli("purge", "--card", CARD, *place)
        assert refused.code == 2 and "POST /v1/purge" in refused.err
    done = cli("purge", "--card", CARD, *place)
    assert done.code == 0, done.err
    assert done.out.startswith("10 decisions erased, with their labels\nDecisions up to place 46 can no longer")
    assert cli("purge", "--entity", "merchant=nobody", *place).out.startswith("0 decisions erased")
    assert cli("purge", "--before", "400d", *place).out.startswith("0 decisions erased")
    done = cli("purge", "--before", "0s", *place)
    assert done.code == 0 and done.out.startswith("30 decisions erased")
    checked = cli("replay", "--since", "1d", *place)
    assert checked.code == 0 and checked.out == "0 decisions recomputed, 0 differ\n"


def test_service_and_command_erase_beside_each_other(cli: Cli, payments: Payments, shared_store: str) -> None:
    url = shared_store
    app = create_app(Settings(database_url=url, artifacts=payments.artifacts), payments.scorer)
    client, place = Client(app), ("--database", url, "--artifacts", payments.artifacts)
    try:
        for row in card_rows(payments, 8):
            assert client.post("/v1/score?reasons=0", content=row, headers=_JSON).status_code == 200
        with closing(open_store(url)) as other, other.purging():
            assert client.post("/v1/purge", json={"card": CARD}).status_code == 409
            refused = cli("purge", "--card", CARD, *place)
            assert refused.code == 2 and "another purge is running" in refused.err
        done = cli("purge", "--card", CARD, *place)
        assert done.code == 0 and done.out.startswith("2 decisions erased, with their labels\n"), done.err
        assert client.post("/v1/purge", json={"before": "0s"}).json() == {
            "decisions": 6,
            "folded": 8,
            "scrubbed": True,
        }
        assert client.get("/v1/decisions").json()["decisions"] == []
    finally:
        app.state.serving.close()


def test_what_the_command_line_refuses(cli: Cli, payments: Payments, own_store: str) -> None:
    place = ("--artifacts", str(payments.artifacts), "--database")
    for arguments, message in (
        (("purge", *place, own_store), "say what to erase"),
        (("purge", "--card", "a", "--before", "1d", *place, own_store), "say what to erase"),
        (("purge", "--card", "a", *place, own_store), "there is no such database"),
        (("purge", "--before", "2999-01-01T00:00:00Z", *place, own_store), "--before: in the future"),
        (("purge", "--before", "soon", *place, own_store), "--before: expected a time"),
        (("purge", "--entity", "till=1", *place, own_store), "no [entity.till] section; it has card, merchant"),
        (("purge", "--card", CARDS[0], *place, own_store), "looks like a card number"),
    ):
        done = cli(*arguments)
        assert done.code == 2 and message in done.err, done.err
        assert CARDS[0] not in done.err


def test_without_behaviour_old_decisions_go(tiny_scorer: Scorer, transaction: dict[str, Any], own_store: str) -> None:
    app = create_app(Settings(database_url=own_store), tiny_scorer)
    client = Client(app)
    assert client.post("/v1/score", json=transaction).status_code == 200
    assert client.post("/v1/purge", json={"card": "a"}).json()["errors"][0]["field"] == "card"
    moment = client.get("/v1/decisions").json()["decisions"][0]["arrived_at"]
    assert client.post("/v1/purge", json={"before": moment}).json()["decisions"] == 0  # it did not arrive before then
    assert client.post("/v1/score", json={**transaction, "transaction_id": "later"}).status_code == 200
    moment = client.get("/v1/decisions").json()["decisions"][0]["arrived_at"]
    assert client.post("/v1/purge", json={"before": moment}).json()["decisions"] == 1
    assert ask(app, f"/v1/decisions/{transaction['transaction_id']}").status_code == 404
    app.state.serving.close()
