"""One alert: what its page shows, and what becomes of a verdict."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from app.console.work import alerts_of
from app.store.sql import case_events, cases
from tests.app.calls import CARDS
from tests.app.console.conftest import Office
from tests.app.console.test_queue import run_out


def labels_of(office: Office, case_id: int) -> list[str | None]:
    """The latest label of each alert of a case."""
    store = office.app.state.serving.ledger.recorder.store
    found = alerts_of(store, office.case(case_id))
    return [one.labels[-1].label if one.labels else None for one in found]


def actions(office: Office, case_id: int) -> list[tuple[str, str]]:
    """Who did what to a case, oldest first."""
    events = office.desk.read(lambda connection: case_events.of_cases(connection, [case_id]))
    return [(event.actor, event.action) for event in events]


def test_the_page_says_why_with_usual_values_and_draws_the_card(office: Office) -> None:
    ana = office.user("ana")
    case = max(office.queue(), key=lambda one: one.hits)
    page = ana.post(f"/alerts/{case.id}/take").text
    assert page.count('class="rank"') == 3
    assert "usually" in page
    assert "this payment" in page
    assert page.count('name="hit"') == case.hits > 1
    assert page.count('class="ring"') == case.hits + 1  # and the legend's
    assert page.count('<circle class="me"') == 1
    assert "held by you" in page


def test_without_the_decisive_reason_some_alerts_would_pass(office: Office) -> None:
    local = office.local()
    pages = [local.get(f"/alerts/{case.id}").text for case in office.queue()]
    assert any("without this it would pass" in page for page in pages)
    assert any("without this: 0." in page for page in pages)


@pytest.mark.parametrize("label", ["fraud", "legitimate", "disputed"])
def test_one_submit_labels_all_hits_and_shows_the_next_alert_with_an_undo(office: Office, label: str) -> None:
    ana = office.user("ana")
    case = max(office.queue(), key=lambda one: one.hits)
    others = [one for one in office.queue() if one.id != case.id]
    ana.send(f"/alerts/{case.id}/take")
    answer = ana.send(f"/alerts/{case.id}", action=label, note="Called the holder.")
    assert answer.headers["location"].startswith(f"/console/alerts/{others[0].id}?done=")
    assert f"Recorded: {label}, " in ana.get(answer.headers["location"].removeprefix("/console")).text
    decided = office.case(case.id)
    assert (decided.state, decided.verdict, decided.decided_by) == ("closed", label, "ana")
    assert labels_of(office, case.id) == [label] * case.hits
    assert "Called the holder." in ana.get(f"/alerts/{case.id}").text


def test_undo_puts_labels_queue_and_claim_back_and_both_stay_in_the_audit(office: Office) -> None:
    ana = office.user("ana")
    case = office.queue()[0]
    states = office.app.state.serving.ledger.recorder.states
    ledger = office.app.state.serving.ledger

    def counted() -> bytes:
        held = asyncio.run(ledger.peek([case.entity_key]))
        return b"".join(state.tobytes() for state in held.values())

    before = counted()
    ana.send(f"/alerts/{case.id}/take")
    done = ana.send(f"/alerts/{case.id}", action="fraud").headers["location"].rpartition("=")[2]
    assert "Undone" in ana.post("/undo", done=done).text
    after = office.case(case.id)
    assert (after.state, after.verdict, after.holder) == ("open", None, "ana")
    assert set(labels_of(office, case.id)) == {"disputed"}  # not settled: counts as unknown
    assert counted() == before
    assert states.last == office.app.state.serving.ledger.recorder.store.last_seq()
    assert actions(office, case.id) == [("ana", "fraud"), ("ana", "undo")]
    again = ana.send("/undo", done=done)
    assert again.status_code == 409
    assert "undone already" in again.text


def test_only_ones_own_decision_is_undone(office: Office) -> None:
    ana, ben = office.user("ana"), office.user("ben")
    case = office.queue()[0]
    ana.send(f"/alerts/{case.id}/take")
    done = ana.send(f"/alerts/{case.id}", action="fraud").headers["location"].rpartition("=")[2]
    assert ben.send("/undo", done=done).status_code == 404
    assert office.case(case.id).state == "closed"


@pytest.mark.parametrize("how", ["another's", "run out", "decided"])
def test_a_claim_that_is_lost_gets_409_and_the_note_is_kept(office: Office, how: str) -> None:
    ana, ben = office.user("ana"), office.user("ben")
    case = office.queue()[0]
    ana.send(f"/alerts/{case.id}/take")
    run_out(office, case.id)
    if how != "run out":
        ben.send(f"/alerts/{case.id}/take")
    if how == "decided":
        ben.send(f"/alerts/{case.id}", action="legitimate")
    page = ana.send(f"/alerts/{case.id}", action="fraud", note="Holder abroad <since> May")
    assert page.status_code == 409
    assert "Holder abroad &lt;since&gt; May" in page.text
    assert "Not recorded" in page.text
    assert "Asked again" in ana.post(f"/alerts/{case.id}", action="note", note="Asked again").text
    assert labels_of(office, case.id) == [("legitimate" if how == "decided" else None)] * case.hits


def test_unticked_alerts_get_no_label(office: Office) -> None:
    ana = office.user("ana")
    case = max(office.queue(), key=lambda one: one.hits)
    ana.send(f"/alerts/{case.id}/take")
    store = office.app.state.serving.ledger.recorder.store
    newest, *rest = alerts_of(store, case)
    ana.send(f"/alerts/{case.id}", action="fraud", hit=newest.decision.transaction_id)
    assert labels_of(office, case.id) == ["fraud", *[None] * len(rest)]


def test_a_snoozed_alert_comes_back_in_time_or_with_a_higher_score(office: Office) -> None:
    ana = office.user("ana")
    first, second, *_ = office.queue()
    for case in (first, second):
        ana.send(f"/alerts/{case.id}/take")
        ana.send(f"/alerts/{case.id}", action="snooze", hours="4")
    assert {first.id, second.id}.isdisjoint(case.id for case in office.queue())
    assert "Snoozed 2" in ana.get("").text
    office.desk.write(lambda connection: cases.put(connection, first.id, until=1))
    ana.get("")
    assert office.queue()[0].id == first.id
    store = office.app.state.serving.ledger.recorder.store
    top = alerts_of(store, second)[0].decision
    from dataclasses import replace

    from app.store.records import View, Writes

    def higher(view: View) -> Writes:
        return Writes(
            [replace(top, seq=view.next_seq, transaction_id="later", score=0.999999, idempotency_digest=None)]
        )

    store.transact([], [], 1, higher)
    assert office.queue()[0].id == second.id
    assert office.case(second.id).hits == second.hits + 1


def test_what_is_escalated_waits_for_a_senior(office: Office) -> None:
    ana, sam = office.user("ana"), office.user("sam", "senior")
    case = office.queue()[0]
    ana.send(f"/alerts/{case.id}/take")
    ana.send(f"/alerts/{case.id}", action="escalate", note="Looks like a ring")
    assert case.id not in [one.id for one in office.queue()]
    assert ana.send("/next", state="escalated").status_code == 403
    assert ana.send(f"/alerts/{case.id}/take").status_code == 403
    assert ana.send(f"/alerts/{case.id}", action="fraud").status_code == 403
    page = ana.send("/bulk", case=[case.id], verdict="fraud", state="escalated")
    assert (page.status_code, office.case(case.id).state) == (409, "escalated")
    assert "a senior decides it" in ana.get(f"/alerts/{case.id}").text
    assert "Take this alert" in sam.get(f"/alerts/{case.id}").text
    assert f"/alerts/{case.id}" in sam.send("/next", state="escalated").headers["location"]
    sam.send(f"/alerts/{case.id}", action="fraud")
    assert office.case(case.id).decided_by == "sam"


def test_notes_are_kept_without_a_verdict_and_never_hold_a_card_number(office: Office) -> None:
    ana = office.user("ana")
    case = office.queue()[0]
    page = ana.post(f"/alerts/{case.id}", action="note", note="Asked the shop")
    assert "Asked the shop" in page.text
    refused = ana.send(f"/alerts/{case.id}", action="note", note=f"card {CARDS[0]}")
    ana.send(f"/alerts/{case.id}/take")
    kept = ana.send(f"/alerts/{case.id}", action="fraud", note=f"card {CARDS[0]}")
    for answer in (refused, kept):
        assert answer.status_code == 422
        assert CARDS[0] not in answer.text
        assert f">card {'#' * len(CARDS[0])}</textarea>" in answer.text
    assert office.case(case.id).state == "open"


def test_what_people_wrote_is_erased_with_the_card(offices: Callable[..., Office]) -> None:
    office = offices()
    local = office.local()
    case = office.queue()[0]
    local.send(f"/alerts/{case.id}", action="note", note="SECRET-NOTE")
    local.send(f"/alerts/{case.id}/take")
    local.send(f"/alerts/{case.id}", action="fraud", note="SECRET-NOTE again")
    card = re.search(r"<dt>card_id</dt><dd><a[^>]*>([^<]+)", local.get(f"/alerts/{case.id}").text)
    assert card is not None
    asked = {"card": card[1]}
    assert office.client.post("/v1/purge", json=asked).json()["scrubbed"] is True
    assert local.get(f"/alerts/{case.id}").status_code == 404
    events = office.desk.read(lambda connection: case_events.page(connection, None, 100))
    assert [event.action for event in events] == ["fraud", "note"]
    assert {(event.text, event.before) for event in events} == {(None, None)}
    assert b"SECRET-NOTE" not in b"".join(path.read_bytes() for path in office.folder.glob("log.db*"))


def test_a_purge_by_time_keeps_the_cases_that_go_on(office: Office) -> None:
    case = max(office.queue(), key=lambda one: one.hits)
    store = office.app.state.serving.ledger.recorder.store
    newest, *older = alerts_of(store, case)
    others = [one for one in older if one.decision.transaction_id]
    store.erase([one.decision for one in others])
    left = office.case(case.id)
    assert (left.seq, left.score) == (newest.decision.seq, newest.decision.score)
    store.erase([newest.decision])
    assert office.desk.read(lambda connection: cases.find(connection, case.id)) is None
