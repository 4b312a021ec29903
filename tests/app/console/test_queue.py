"""The queue: its order, its pages, who works on what."""

from __future__ import annotations

import asyncio
import re

import httpx

from app.console.work import CLAIM_SECONDS
from app.store.desk import Place, Wanted
from app.store.sql import cases
from tests.app.calls import CARDS
from tests.app.console.conftest import Office

_AT = re.compile(r'href="/console(\?[^"]*)" rel="(next|prev)"')


def test_the_log_and_the_queue_have_the_same_alerts(office: Office) -> None:
    store = office.app.state.serving.ledger.recorder.store
    alerts = [one for one in store.log() if one.decision != "approve"]
    by_card: dict[object, list[float]] = {}
    for one in alerts:
        by_card.setdefault(one.keys[0], []).append(one.score)
    queue = office.queue()
    assert sum(case.hits for case in queue) == len(alerts) > 10
    assert {case.entity_key: (case.hits, case.score) for case in queue} == {
        key: (len(scores), max(scores)) for key, scores in by_card.items()
    }
    assert any(case.hits > 1 for case in queue)
    assert [case.score for case in queue] == sorted((case.score for case in queue), reverse=True)


def test_a_page_shows_amount_reason_and_holder(office: Office) -> None:
    office.user("ana").post("/next")
    page = office.user("ben", "manager").get("").text
    store = office.app.state.serving.ledger.recorder.store
    top = office.queue()[0]
    decision = store.page(cases_filter(top), top.seq + 1, 1).decisions[0].decision
    assert f"{top.score:.5f}" in page
    assert "EUR" in page
    assert decision.seq == top.seq
    assert '<span class="chip">ana</span>' in page
    assert f"/console/alerts/{top.id}/release" in page


def cases_filter(case: object) -> object:
    from app.store.query import Filter

    return Filter(entities=(case.entity_key,))  # type: ignore[attr-defined]


def test_pages_follow_each_other_both_ways_and_miss_none(office: Office) -> None:
    everything = [case.id for case in office.queue()]
    read = office.desk.read

    def walk(at: Place) -> list[int]:
        found = read(lambda connection: cases.page(connection, Wanted(), at, 3))
        ids = [case.id for case in found]
        if len(found) < 3:
            return ids
        edge = found[0] if at.back else found[-1]
        rest = walk(Place(edge.score, edge.id, at.back))
        return rest + ids if at.back else ids + rest

    assert walk(Place()) == walk(Place(-1.0, -1, back=True)) == everything


def test_next_hands_out_ones_own_then_the_highest_free(office: Office) -> None:
    ana, ben = office.user("ana"), office.user("ben")
    first, second, *_ = office.queue()
    assert f"/console/alerts/{first.id}" in ana.send("/next").headers["location"]
    assert f"/console/alerts/{first.id}" in ana.send("/next").headers["location"]
    assert f"/console/alerts/{second.id}" in ben.send("/next").headers["location"]


def test_eight_who_work_at_once_never_get_one_twice(office: Office) -> None:
    """`benchmarks/console.py` does so 2,000 times, on PostgreSQL, too."""
    people = [office.user(f"analyst-{place}") for place in range(8)]
    everything = [f"/console/alerts/{case.id}" for case in office.queue()]

    async def work(headers: dict[str, str]) -> list[str]:
        taken = []
        transport = httpx.ASGITransport(office.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            where = (await client.post("/console/next")).headers["location"]
            while "/alerts/" in where:
                taken.append(where.partition("?")[0])
                where = (await client.post(taken[-1], data={"action": "legitimate"})).headers["location"]
        return taken

    async def everybody() -> list[list[str]]:
        return await asyncio.gather(*(work(one.sent()) for one in people))

    taken = [case for part in asyncio.run(everybody()) for case in part]
    assert sorted(taken) == sorted(everything)


def test_empty_and_held_by_others_are_different_words(office: Office) -> None:
    ana, ben = office.user("ana"), office.user("ben")
    queue = office.queue()
    for case in queue:
        ana.send(f"/alerts/{case.id}/take")
    assert f"held by others: {len(queue)}" in ben.post("/next").text
    for case in queue:
        ana.send(f"/alerts/{case.id}", action="legitimate")
    assert "The queue is empty" in ben.post("/next").text


def test_filters_choose(office: Office) -> None:
    ana = office.user("ana")
    ana.send("/next")
    count = len(office.queue())
    rows = re.compile("data-row")
    assert len(rows.findall(ana.get("?holder=mine").text)) == 1
    assert len(rows.findall(ana.get("?holder=free").text)) == count - 1
    top = office.queue()[0].score
    assert len(rows.findall(ana.get(f"?min={top}").text)) == 1
    assert "Nothing passes this filter" in ana.get("?late=1").text
    for bad in ("?state=closed", "?holder=ana", "?after=x", "?min=2"):
        assert ana.get(bad).status_code in (400, 404)


def test_filters_are_saved_by_name_each_for_oneself(office: Office) -> None:
    ana, ben = office.user("ana"), office.user("ben")
    assert ana.send("/filters", name=" free & high ", holder="free", min="0.99").status_code == 303
    saved = 'href="/console?holder=free&amp;min=0.99"'
    assert saved in ana.get("").text
    assert "free &amp; high</a>" in ana.get("").text
    assert saved not in ben.get("").text
    assert "forget free &amp; high" in ana.get("?holder=free&min=0.99").text
    for form in ({"name": ""}, {"name": "x" * 41}, {"name": CARDS[0]}, {"name": "x", "min": "2"}):
        assert ana.send("/filters", **form).status_code == 400
    for number in range(19):
        ana.send("/filters", name=f"n{number}", holder="mine")
    assert ana.send("/filters", name="one too many", holder="mine").status_code == 409
    ana.send("/filters", name="free & high", do="forget")
    assert saved not in ana.get("").text


def test_bulk_verdicts_keep_what_failed_ticked_with_the_reason(office: Office) -> None:
    ana, ben = office.user("ana"), office.user("ben")
    first, second, third, *_ = office.queue()
    ben.send(f"/alerts/{second.id}/take")
    page = ana.send("/bulk", case=[first.id, second.id, third.id], verdict="fraud", note="ring")
    assert page.status_code == 409
    assert [office.case(one.id).state for one in (first, second, third)] == ["closed", "open", "closed"]
    failed = re.search(r'<tr data-row class="failed">(.*?)</tr>', page.text, re.S)
    assert failed is not None
    assert "checked" in failed[1]
    assert "ben holds this alert" in failed[1]
    done = re.findall(r'name="done" value="(\d+)"', page.text)
    assert len(done) == 2
    ana.post("/undo", done=done)
    assert [office.case(one.id).state for one in (first, third)] == ["open", "open"]
    assert "No alert was ticked" in ana.post("/bulk", verdict="fraud").text
    where = ana.send("/bulk", case=[first.id], verdict="fraud", holder="mine", min="0.5").headers["location"]
    assert where.startswith("/console?holder=mine&min=0.5&done=")


def test_what_is_new_is_told_and_moves_nothing(office: Office) -> None:
    local = office.local()
    newest = max(case.id for case in office.queue())
    assert local.get(f"/news?since={newest}").text.strip() == ""
    assert "1 new, refresh" in local.get(f"/news?since={newest - 1}").text
    assert 'href="/console?holder=free"' in local.get(f"/news?since={newest - 1}&holder=free").text


def test_claims_run_out_and_are_kept_by_a_sign_of_life(office: Office) -> None:
    ana = office.user("ana")
    case = office.queue()[0]
    ana.send(f"/alerts/{case.id}/take")
    held = office.case(case.id)
    assert held.held_until is not None
    assert held.held_by(held.held_until - 1) == "ana"
    assert held.held_by(held.held_until) is None
    assert "held by you" in ana.send(f"/alerts/{case.id}/keep").text
    kept = office.case(case.id).held_until
    assert kept is not None
    assert held.held_until < kept < held.held_until + CLAIM_SECONDS * 1_000_000
    run_out(office, case.id)
    assert "run out" in ana.send(f"/alerts/{case.id}/keep").text


def run_out(office: Office, case_id: int) -> None:
    """Let a claim end."""
    office.desk.write(lambda connection: cases.put(connection, case_id, held_until=1))


def test_a_manager_takes_from_others_and_an_analyst_does_not(office: Office) -> None:
    ana, ben, eve = office.user("ana"), office.user("ben"), office.user("eve", "manager")
    case = office.queue()[0]
    ana.send(f"/alerts/{case.id}/take")
    assert ben.send(f"/alerts/{case.id}/release").status_code == 409
    assert office.case(case.id).holder == "ana"
    assert eve.send(f"/alerts/{case.id}/release").status_code == 303
    assert office.case(case.id).holder is None


def test_an_auditor_changes_nothing(office: Office) -> None:
    auditor = office.user("kim", "auditor")
    case = office.queue()[0]
    assert "Take next" not in auditor.get("").text
    paths = ("/next", "/bulk", "/undo", f"/alerts/{case.id}", f"/alerts/{case.id}/take", f"/alerts/{case.id}/release")
    assert {auditor.send(path, action="fraud", verdict="fraud", case=case.id).status_code for path in paths} == {403}
    auditor.send(f"/alerts/{case.id}/keep")
    assert office.case(case.id) == case
