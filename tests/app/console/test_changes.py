"""Lists and rules in the console: tried, proposed, approved by a second person, and then they count."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.store.desk import Event
from app.store.sql import case_events
from tests.app.calls import CARDS, renewed
from tests.app.console.conftest import Desktop, Office

_RULES = """format = 1

[[rule]]
name = "dear"
outcome = "decline"
when = 'amount > 0.0'
"""


def waiting(office: Office, action: str) -> list[Event]:
    return office.desk.read(partial(case_events.proposed, action=action))


def payment(office: Office) -> dict[str, Any]:
    """The latest that was recorded, and approved."""
    found = office.client.get("/v1/decisions?limit=1&decision=approve").json()["decisions"]
    return dict(found[0]["transaction"])


def decided(office: Office, sent: dict[str, Any]) -> str:
    reply = office.client.post("/v1/score", json=renewed(sent))
    assert reply.status_code == 200, reply.text
    return str(reply.json()["decision"])


def propose(desktop: Desktop, merchant: str, **more: str) -> int:
    form = {"list": "block", "column": "merchant_id", "values": merchant, "note": "chargebacks", **more}
    return desktop.send("/lists", **form).status_code


def test_a_list_changes_once_two_people_want_it_and_counts_at_once(office: Office) -> None:
    ana, eve, max_ = office.user("ana"), office.user("eve", "manager"), office.user("max", "admin")
    sent = payment(office)
    merchant = sent["merchant_id"]
    assert propose(ana, merchant, until="30d") == 303
    (proposal,) = waiting(office, "propose list")
    assert merchant in eve.get("/lists").text
    assert ana.send(f"/lists/{proposal.id}", action="approve").status_code == 403
    assert decided(office, sent) != "decline"
    assert "it counts from the next payment on" in eve.post(f"/lists/{proposal.id}", action="approve").text
    assert decided(office, sent) == "decline"
    page = eve.get("/lists").text
    assert re.search(rf'<td class="value">{merchant}</td>', page)
    assert "eve for ana" in page
    assert "on block until" in eve.get(f"/of?merchant_id={merchant}").text
    assert "chargebacks" in page
    assert propose(eve, merchant, do="off") == 303
    (off,) = waiting(office, "propose list")
    assert eve.send(f"/lists/{off.id}", action="approve").status_code == 403
    assert max_.send(f"/lists/{off.id}", action="approve").status_code == 303
    assert "The lists are empty" in eve.get("/lists").text
    told = [(event.actor, event.action, event.subject) for event in office.desk.read(_events)]
    assert told == [
        ("ana", "propose list", "put on block: merchant_id"),
        ("eve", "approve", "put on block: merchant_id"),
        ("eve", "propose list", "take off block: merchant_id"),
        ("max", "approve", "take off block: merchant_id"),
    ]


def _events(connection: Any) -> list[Event]:
    return case_events.page(connection, None, 100)[::-1]


def test_what_is_wrong_with_a_change_is_said_beside_what_was_typed(office: Office) -> None:
    ana = office.user("ana")
    for form, word in (
        ({"values": CARDS[0], "column": "card_id"}, "card number"),
        ({"values": ""}, "1 to 1,000 values"),
        ({"list": "snooze"}, "snoozed until a time"),
        ({"until": "yesterday"}, "a time to come"),
        ({"note": ""}, "say why"),
        ({"column": "amount"}, "no column with texts"),
    ):
        asked = {"list": "block", "column": "merchant_id", "values": "m-1", "note": "why not", **form}
        answer = ana.send("/lists", **asked)
        assert answer.status_code == 422, form
        assert word in answer.text, form
        assert CARDS[0] not in re.sub(r"<textarea.*?</textarea>", "", answer.text, flags=re.S)
    assert propose(ana, "m-1") == 303
    assert propose(ana, "m-1") == 409
    assert waiting(office, "propose list")[0].text == "chargebacks"
    assert office.user("kim", "auditor").send("/lists", list="block").status_code == 403


def test_a_proposal_is_withdrawn_or_turned_down_and_what_it_held_is_gone(office: Office) -> None:
    ana, ben, eve = office.user("ana"), office.user("ben"), office.user("eve", "manager")
    propose(ana, "m-1")
    propose(ben, "m-2")
    one, two = waiting(office, "propose list")
    assert ben.send(f"/lists/{one.id}", action="refuse").status_code == 403
    assert ana.send(f"/lists/{one.id}", action="refuse").status_code == 303
    assert eve.send(f"/lists/{two.id}", action="refuse").status_code == 303
    assert waiting(office, "propose list") == []
    assert [event.before for event in office.desk.read(_events)] == [None] * 4


def test_what_an_entry_would_have_hit_is_counted(office: Office) -> None:
    ana, store = office.user("ana"), office.app.state.serving.ledger.recorder.store
    sent = payment(office)
    for column in ("merchant_id", "channel"):
        count = sum(json.loads(one.body)[column] == sent[column] for one in store.log())
        page = ana.send("/lists/test", list="block", column=column, values=sent[column]).text
        assert f"{count} payment{'' if count == 1 else 's'} had this value" in page
    assert waiting(office, "propose list") == []


def test_rules_are_tried_proposed_and_in_force_once_approved(offices: Callable[..., Office], tmp_path: Path) -> None:
    office = offices(rules_file=tmp_path / "rules.toml")
    ana, eve, max_ = office.user("ana"), office.user("eve", "manager"), office.user("max", "admin")
    count = sum(1 for _ in office.app.state.serving.ledger.recorder.store.log())
    page = ana.send("/rules/test", text=_RULES.replace("\n", "\r\n")).text
    assert f"Tried on {count} decisions" in page
    assert re.search(rf'dear</th><td>decline</td><td class="num">{count}</td>', page)
    assert not (tmp_path / "rules.toml").exists()
    assert ana.send("/rules", text=_RULES, note="x").status_code == 403
    assert eve.send("/rules", text=_RULES, note="").status_code == 422
    assert "rule dear: when" in eve.send("/rules", text=_RULES.replace("0.0", "0"), note="x").text
    assert eve.send("/rules", text=_RULES, note="all of it").status_code == 303
    (proposal,) = waiting(office, "propose rules")
    assert "<ins>+name = &#34;dear&#34;</ins>" in max_.get("/rules").text
    assert eve.send(f"/rules/{proposal.id}", action="approve").status_code == 403
    assert max_.send(f"/rules/{proposal.id}", action="approve").status_code == 303
    assert (tmp_path / "rules.toml").read_text() == _RULES
    assert decided(office, payment(office)) == "decline"
    assert "1 in force" in ana.get("/rules").text
    assert eve.send("/rules", text=_RULES, note="again").status_code == 409


def test_rules_written_against_others_than_those_in_force_are_not_approved(
    offices: Callable[..., Office], tmp_path: Path
) -> None:
    office = offices(rules_file=tmp_path / "rules.toml")
    eve, max_ = office.user("eve", "manager"), office.user("max", "admin")
    for name in ("one", "two"):
        eve.send("/rules", text=_RULES.replace("dear", name), note=name)
    one, two = waiting(office, "propose rules")
    assert max_.send(f"/rules/{one.id}", action="approve").status_code == 303
    refused = max_.send(f"/rules/{two.id}", action="approve")
    assert refused.status_code == 409
    assert "other rules are in force" in refused.text
    assert len(waiting(office, "propose rules")) == 1


def test_rules_that_cannot_be_written_change_nothing(offices: Callable[..., Office], tmp_path: Path) -> None:
    office = offices(rules_file=tmp_path / "nowhere" / "rules.toml")
    office.user("eve", "manager").send("/rules", text=_RULES, note="x")
    (proposal,) = waiting(office, "propose rules")
    refused = office.user("max", "admin").send(f"/rules/{proposal.id}", action="approve")
    assert refused.status_code == 409
    assert "cannot be written" in refused.text
    assert waiting(office, "propose rules") == [proposal]


def test_another_threshold_takes_two_and_serves_at_once(office: Office) -> None:
    ana, eve, max_ = office.user("ana"), office.user("eve", "manager"), office.user("max", "admin")
    before = office.client.get("/v1/model").json()["version"]
    choices = re.findall(r'<option value="(0\.\d+)">', eve.get("/what-if").text)
    assert "<select" not in ana.get("/what-if").text
    assert ana.send("/what-if", threshold=choices[0], note="x").status_code == 403
    for form, word in (
        ({"threshold": choices[0], "note": ""}, "say why"),
        ({"threshold": "2", "note": "x"}, "a score"),
    ):
        answer = eve.send("/what-if", **form)
        assert (answer.status_code, word in answer.text) == (422, True), form
    assert eve.send("/what-if", threshold=choices[0], note="fewer alerts").status_code == 303
    assert eve.send("/what-if", threshold=choices[-1], note="more alerts").status_code == 303
    one, other = waiting(office, "propose threshold")
    assert "threshold (2)" in ana.get("/overview").text
    assert eve.send(f"/what-if/{one.id}", action="approve").status_code == 403
    assert "Approved" in max_.post(f"/what-if/{one.id}", action="approve").text
    now = office.client.get("/v1/model").json()
    assert now["version"] != before
    assert now["threshold"]["score"] == pytest.approx(float(choices[0]), abs=2e-3)
    assert "max for eve" in eve.get("/models").text
    assert ">now<" in eve.get("/what-if").text, "what the same network scored before still counts"
    late = max_.send(f"/what-if/{other.id}", action="approve")
    assert late.status_code == 409
    assert "another version serves by now" in late.text
    assert max_.send(f"/what-if/{other.id}", action="refuse").status_code == 303
    assert office.client.get("/v1/model").json()["version"] == now["version"]


def test_all_of_a_card_is_erased_once_two_people_want_it(office: Office) -> None:
    ana, eve, max_ = office.user("ana"), office.user("eve", "manager"), office.user("max", "admin")
    case = office.queue()[0]
    ana.send(f"/alerts/{case.id}/take")
    ana.send(f"/alerts/{case.id}", action="note", note="rang the holder up")
    card = office.client.get("/v1/decisions?limit=1000").json()["decisions"]
    card_id = next(one["transaction"]["card_id"] for one in card if one["seq"] == case.seq)
    assert "erase it" not in ana.get(f"/of?card_id={card_id}").text
    assert ana.get("/purges").status_code == 403
    assert "erase it" in eve.get(f"/of?card_id={card_id}").text
    for form in ({"column": "amount", "value": "1"}, {"value": ""}, {"value": CARDS[0]}, {"note": ""}):
        answer = eve.send("/purges", **({"column": "card_id", "value": card_id, "note": "asked to"} | form))
        assert answer.status_code == 422, form
    assert eve.send("/purges", column="card_id", value=card_id, note="asked to").status_code == 303
    (proposal,) = waiting(office, "propose purge")
    assert proposal.subject == "all of a card_id"
    assert eve.send(f"/purges/{proposal.id}", action="approve").status_code == 403
    assert office.client.get(f"/v1/decisions?card={card_id}").json()["decisions"]
    assert "erased are payments" in max_.post(f"/purges/{proposal.id}", action="approve").text
    assert office.client.get(f"/v1/decisions?card={card_id}").json()["decisions"] == []
    assert all(one.id != case.id for one in office.queue())
    told = [(event.actor, event.action, event.subject) for event in office.desk.read(_events)][-2:]
    assert told == [("eve", "propose purge", "all of a card_id"), ("max", "approve", "all of a card_id")]
    office.app.state.serving.close()
    files = b"".join(path.read_bytes() for path in office.folder.glob("log.db*"))
    assert card_id.encode() not in files
    assert b"rang the holder up" not in files
