"""Lists and rules in the service's answers and in its log: answered, given again, checked, told, exported."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from app.decisions.export import frame_of, pages
from app.decisions.replies import line
from app.recording.check_log import LogCheck
from app.rules.backtest import Trial
from app.rules.changing import catch_up, change
from app.rules.conditions import Conditions
from app.rules.document import parse
from app.rules.lists import NAMES
from app.rules.replies import told
from app.rules.rulebook import Rulebook
from app.rules.source import RuleSource
from app.store.open import open_store
from app.store.query import Filter
from app.store.records import ListChange
from models.registry import Registry
from tests.app.records import Till, sent, till
from tests.app.traffic import Payments
from tests.examples import examples

RULES = """format = 1
[[rule]]
name = "dear"
outcome = "review"
when = 'amount > 80.0 && score < threshold'
[[rule]]
name = "busy-card"
outcome = "decline"
when = 'card.count_1d >= 2.0 && !("card_id" in watch)'
[[rule]]
name = "travel"
outcome = "approve"
when = 'category == "travel" || time.getHours("UTC") == 3 || 1 / int(amount) > 5'
"""


def lay_down(one: Till, payments: Payments, text: str) -> None:
    """Rules in force from now on, kept as the service keeps them."""
    rulebook = one.recorder.rulebook
    assert rulebook is not None
    path = Path(one.recorder.store.__dict__["_name"]).with_suffix(".toml")
    path.write_text(text, encoding="utf-8")
    RuleSource(path).start(one.recorder.store, rulebook, payments.schema)


def put(one: Till, name: str, column: str, value: str, **more: Any) -> None:
    wanted = ListChange(0, 1, name, column, value, **more)  # type: ignore[arg-type]
    assert one.recorder.rulebook is not None
    change(one.recorder.store, one.recorder.rulebook.lists, [wanted])


def test_without_lists_and_rules_replies_are_as_before(payments: Payments, own_store: str) -> None:
    with till(payments, own_store) as one:
        reply = one.reply(sent(payments, 1)[0])
        assert not {"model_decision", "rules", "rules_version"} & reply.keys()
        assert [told(found).version for found in one.recorder.store.log() if not hasattr(found, "label")] == [None]


def test_each_list_decides_and_is_recorded(payments: Payments, own_store: str) -> None:
    rows = sent(payments, 12)
    with till(payments, own_store) as one:
        plain = [from_json(one.send_unlogged(row)[0])["decision"] for row in rows]  # type: ignore[arg-type]
        card, merchant = (from_json(rows[0])[name] for name in ("card_id", "merchant_id"))
        answers = []
        for row, (name, column) in zip(
            rows, [("block", "card_id"), ("watch", "merchant_id"), ("allow", "card_id")], strict=False
        ):
            body = {**from_json(row), "card_id": card, "merchant_id": merchant}
            put(one, name, column, card if column == "card_id" else merchant)
            answers.append(one.reply(json.dumps(body).encode()))
        assert [reply["decision"] for reply in answers] == ["decline", "decline", "approve"]
        assert [reply["rules"] for reply in answers] == [
            ["block:card_id"],
            ["block:card_id", "watch:merchant_id"],
            ["block:card_id", "allow:card_id", "watch:merchant_id"],
        ]
        assert [reply["rules_version"] for reply in answers] == ["none.1", "none.2", "none.3"]
        other = one.reply(rows[5])
        assert (other["decision"], other["model_decision"], other["rules"]) == (plain[5], plain[5], [])
        put(one, "snooze", "card_id", from_json(rows[6])["card_id"], until=2**60)
        assert one.reply(rows[6])["rules"] == ["snooze:card_id"]
        put(one, "block", "card_id", from_json(rows[7])["card_id"], until=2)  # it has ended
        assert one.reply(rows[7])["rules"] == []
        unlogged = from_json(one.send_unlogged(rows[8])[0])  # type: ignore[arg-type]
        assert (unlogged["logged"], unlogged["rules_version"]) == (False, "none.5")


def test_a_ruled_answer_is_given_again_checked_told_and_exported(payments: Payments, own_store: str) -> None:
    rows = sent(payments, 160)
    with till(payments, own_store) as one:
        one.send(*rows[:40])
        put(one, "watch", "card_id", from_json(rows[50])["card_id"])
        one.send(*rows[40:60], reasons=2)
        lay_down(one, payments, RULES)
        first = one.send(*rows[60:110], reasons=1)
        put(one, "block", "merchant_id", from_json(rows[3])["merchant_id"])
        second = one.send(*rows[110:])
        lay_down(one, payments, RULES.replace("80.0", "8000.0"))
        assert one.send(*rows[60:110], *rows[110:]) == [*first, *second]  # the stored answers
        replies = [from_json(answer) for answer in (*first, *second) if isinstance(answer, bytes)]
        assert {reply["decision"] for reply in replies if "dear" in reply["rules"]} <= {"review", "decline", "approve"}
        assert any(reply["decision"] != reply["model_decision"] for reply in replies)
        assert len({reply["rules_version"] for reply in replies}) == 2
        assert one.recorder.rulebook is not None
        assert set(one.recorder.rulebook.news()) <= {"travel"}
    with closing(open_store(own_store, read_only=True)) as store:
        check = LogCheck(store, Registry(payments.artifacts), payments.scorer)
        found = check.all(0)
        assert (found.decisions, found.mismatches, found.skipped) == (160, [], {})
        (page,) = pages(store, Filter())
        lines = [line(recorded, payments.schema) for recorded in page]
        newest = replies[-1]
        assert (lines[0].decision, lines[0].model_decision, lines[0].rules, lines[0].rules_version) == (
            newest["decision"],
            newest["model_decision"],
            newest["rules"],
            newest["rules_version"],
        )
        assert lines[-1].rules_version is None and lines[-1].model_decision == lines[-1].decision
        frame = frame_of(page, payments.schema)
        assert frame["rules"][0] == "; ".join(newest["rules"])
        declined = frame.filter(pl.col("decision") == "decline")["transaction_id"].to_list()
        chosen = [one.decision.transaction_id for one in store.page(Filter(decision="decline"), None, 200).decisions]
        assert declined == chosen != []


#: What happens: a payment (its place among the rows), or a change of a list.
STEPS = st.lists(
    st.integers(0, 59)
    | st.tuples(st.sampled_from(NAMES), st.sampled_from(["card_id", "country"]), st.integers(0, 59), st.booleans()),
    min_size=1,
    max_size=30,
)


@settings(max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, ruled_from=st.integers(0, 30))
def test_a_backtest_says_what_was_answered(
    payments: Payments, tmp_path_factory: pytest.TempPathFactory, steps: list[Any], ruled_from: int
) -> None:
    """Whatever was paid and listed in whatever order: the rules in force, tried on the log, decide as they did."""
    url = f"sqlite:///{tmp_path_factory.mktemp('trial') / 'own.db'}"
    rows = sent(payments, 60)
    with till(payments, url) as one:
        for place, step in enumerate(steps):
            if place == ruled_from:
                lay_down(one, payments, RULES)
            if isinstance(step, int):
                one.send(rows[step], reasons=0)
            else:
                name, column, row, listed = step
                put(one, name, column, from_json(rows[row])[column], listed=listed)
        store, rulebook = one.recorder.store, Rulebook(payments.schema)
        rulebook.take(Conditions(parse(RULES, "here"), payments.schema))
        catch_up(store, rulebook.lists)
        trial = Trial(store, Registry(payments.artifacts), rulebook, payments.schema)
        rulings = list(trial.rulings(0))
        for recorded, ruling in rulings:
            was = told(recorded.decision)
            if was.version is not None and not was.version.startswith("none."):
                assert not isinstance(ruling, str)
                again = (ruling.decision, ruling.matched, ruling.version)
                assert again == (recorded.decision.decision, was.rules, was.version)
        found = trial.run(0)
        assert found.all.rows == len(rulings)
        assert found.ruled.rows == sum(ruling.decision != "approve" for _, ruling in rulings)  # type: ignore[union-attr]
        rulebook.take(None)
        nothing = trial.run(0)
        assert nothing.all.rows == found.all.rows and nothing.model.rows == found.model.rows
