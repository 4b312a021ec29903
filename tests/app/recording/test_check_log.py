"""What was answered follows from the log; what was changed afterwards is found."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from app.recording.check_log import LogCheck
from app.store.open import open_store
from models.errors import InvalidInput
from models.registry import Registry
from tests.app.records import Till, sent, till
from tests.app.traffic import Payments


@pytest.fixture
def served(payments: Payments, own_store: str) -> str:
    """A store with a few answers, labels and every kind of reasons."""
    with till(payments, own_store) as one:
        rows = sent(payments, 120)
        for start in range(0, 120, 12):
            one.send(*rows[start : start + 12], reasons=start // 12 % 4)
            one.send(rows[start])
        label_some(one)
        for row in sent(payments, 160)[120:]:
            one.reply(row, reasons=2)
    return own_store


def label_some(one: Till) -> None:
    for number in range(1, 30, 3):
        decision = next(iter(one.recorder.store.log(number)))
        assert one.recorder.label(decision.transaction_id or "", "fraud", 2**51, 2**51, None)


def check(payments: Payments, url: str) -> LogCheck:
    return LogCheck(open_store(url, read_only=True), Registry(payments.artifacts), payments.scorer)


def test_everything_follows_from_the_log(payments: Payments, served: str) -> None:
    found = check(payments, served).all(0)
    assert (found.decisions, found.mismatches, found.skipped) == (160, [], {})


def test_one_decision_with_its_features(payments: Payments, served: str) -> None:
    last = sent(payments, 160)[-1]
    name = last.decode().split('"transaction_id": "')[1].split('"')[0]
    decision, found, features = check(payments, served).one(name)
    assert (decision.transaction_id, found.decisions, found.mismatches) == (name, 1, [])
    assert list(features) == [feature.name for feature in payments.schema.behaviour]
    with pytest.raises(InvalidInput, match="no transaction with this id"):
        check(payments, served).one("nobody")


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE decisions SET reply = CAST(replace(reply, 'approve', 'decline') AS BLOB) WHERE seq = 50", "decision"),
        ("UPDATE decisions SET features = zeroblob(length(features)) WHERE seq = 50", "features"),
        ("UPDATE decisions SET body = replace(body, '\"amount\":', '\"amount\":9') WHERE seq = 50", "features"),
    ],
)
def test_what_was_changed_is_found(payments: Payments, served: str, statement: str, what: str) -> None:
    with sqlite3.connect(Path(served.removeprefix("sqlite:///"))) as connection:
        connection.execute(statement)
    found = check(payments, served).all(0)
    assert 50 in [mismatch.seq for mismatch in found.mismatches]
    assert what in next(mismatch.what for mismatch in found.mismatches if mismatch.seq == 50)


def test_an_empty_store_and_other_sections_are_said_so(payments: Payments, tiny_scorer: object, own_store: str) -> None:
    with pytest.raises(InvalidInput, match="no such database"):
        check(payments, own_store)
