"""Scoring without the store: on what memory knows, leaving no trace, and saying so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.refusals import Untimely
from models.scorer import Scorer
from tests.app.recording.test_recorder import live, recorded
from tests.app.records import Till, Told, changed, sent, till
from tests.app.traffic import Payments


def parsed(answers: Sequence[Told]) -> list[dict[str, Any]]:
    return [json.loads(answer) for answer in answers if isinstance(answer, bytes)]


def test_it_is_scored_as_it_would_be_recorded_and_nothing_stays(payments: Payments, own_store: str) -> None:
    rows = sent(payments, 30)
    again = [changed(row, transaction_id=f"again-{i}-{j}") for i, row in enumerate(rows) for j in range(2)]
    with till(payments, own_store) as one:
        one.send(*rows)
        before = live(one)
        answers = parsed(one.send_unlogged(*again, reasons=2))
        alone = [one.send_unlogged(row, reasons=2)[0] for row in again]
        assert parsed(alone) == answers  # no row has seen another
        assert live(one) == before
        assert [(answer["logged"], answer["approximate"]) for answer in answers] == [(False, False)] * len(again)
        assert one.reply(again[0], reasons=2) == {**answers[0], "logged": True}
    assert len(recorded(own_store)) == 31


def test_what_memory_does_not_hold_is_approximate(payments: Payments, own_store: str) -> None:
    row = sent(payments, 1)[0]
    with till(payments, own_store) as one:
        one.send(row)
        strange = changed(row, transaction_id="s", card_id="never-seen")
        known, unknown = parsed(one.send_unlogged(changed(row, transaction_id="k"), strange))
        assert (known["approximate"], unknown["approximate"]) == (False, True)
        one.recorder.states.clear()
        assert parsed(one.send_unlogged(row))[0]["approximate"]


@pytest.mark.parametrize("when", ["2999-01-01T00:00:00Z", "2026-01-01T00:00:00Z"])
def test_what_cannot_be_placed_in_time_is_refused(payments: Payments, own_store: str, when: str) -> None:
    row = sent(payments, 1)[0]
    with till(payments, own_store) as one:
        one.send(row)
        bad, good = one.send_unlogged(changed(row, timestamp=when), row)
        assert isinstance(bad, Untimely) and [error.field for error in bad.errors] == ["timestamp"]
        assert isinstance(good, bytes)


def test_a_model_without_behaviour_needs_no_memory(
    tiny_scorer: Scorer, transaction: dict[str, Any], own_store: str
) -> None:
    one = Till(tiny_scorer, own_store)
    body = json.dumps(transaction).encode()
    (answer,) = parsed(one.send_unlogged(body, reasons=1))
    (logged,) = parsed(one.send(body, reasons=1))
    one.recorder.close()
    assert (answer["logged"], answer["approximate"]) == (False, False)
    assert logged == {**answer, "logged": True}
