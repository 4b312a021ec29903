"""Search, cards, audit, models and the overview."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import Connection

from app.console import pages
from app.console.facts import Facts
from app.console.roles import RIGHTS, Person, require_four_eyes
from app.console.sketch import Mark, series, sketch
from app.console.what_if import choices
from app.problems import Refused
from app.store.sql import case_events
from app.store.sql.tables import decisions
from app.store.sql.what_if import Ranked
from tests.app.calls import CARDS
from tests.app.console.conftest import Office

_DAY = 86_400_000_000


def a_payment(office: Office) -> dict[str, str]:
    """Of the highest alert."""
    case = office.queue()[0]
    page = office.local().get(f"/alerts/{case.id}").text
    found = re.findall(r"<dt>(\w+)</dt><dd>(?:<a[^>]*>)?([^<]+)", page)
    return {name: value.strip() for name, value in found}


def test_an_id_a_card_and_a_merchant_are_found_by_name(office: Office) -> None:
    local, sent = office.local(), a_payment(office)
    by_id = local.get(f"/search?q={sent['id']}").headers["location"]
    assert re.fullmatch(r"/console/payments/\d+", by_id)
    payment = local.get(by_id.removeprefix("/console")).text
    assert "its alert" in payment
    assert "without this: 0." in payment
    for column in ("card_id", "merchant_id"):
        where = local.get(f"/search?q={sent[column]}").headers["location"]
        assert where == f"/console/of?{column}={sent[column]}"
        page = local.get(where.removeprefix("/console")).text
        assert f"<h1>{sent[column]}</h1>" in page
        assert "<svg" in page
    assert "Nothing goes by this name" in local.get("/search?q=nothing").text
    assert local.get(f"/search?q={CARDS[0]}").status_code == 422


def test_amounts_and_days_are_searched(office: Office) -> None:
    local = office.local()
    store = office.app.state.serving.ledger.recorder.store
    count = sum(1 for _ in store.log())
    row = re.compile(r'href="/console/payments/\d+"')
    assert len(row.findall(local.get("/search?from=2020-01-01").text)) == min(count, 100)
    assert "not all was looked through" in local.get("/search?from=2020-01-01").text
    amounts = sorted(float(found.replace(",", "")) for found in _amounts(local.get("/search?least=0").text))
    most = amounts[-1]
    found = _amounts(local.get(f"/search?least={most}").text)
    assert found
    assert all(float(amount.replace(",", "")) >= most for amount in found)
    assert "0 found" in local.get("/search?from=2020-01-01&to=2020-01-02").text
    for bad in ("least=x", "from=yesterday"):
        assert local.get(f"/search?{bad}").status_code == 422


def _amounts(page: str) -> list[str]:
    return re.findall(r'<td class="num">([\d,.]+) EUR</td>', page)


def test_a_card_shows_what_was_decided(office: Office) -> None:
    local, sent = office.local(), a_payment(office)
    case = office.queue()[0]
    local.send(f"/alerts/{case.id}/take")
    local.send(f"/alerts/{case.id}", action="fraud")
    page = local.get(f"/of?card_id={sent['card_id']}").text
    assert f"{case.hits} fraud" in page
    assert "by local" in page
    assert "Nothing is recorded of it" in local.get("/of?card_id=unknown").text
    assert local.get("/of?amount=1").status_code == 404


def test_the_audit_tells_managers_and_auditors_who_did_what(office: Office) -> None:
    ana, kim = office.user("ana"), office.user("kim", "auditor")
    case = office.queue()[0]
    ana.send(f"/alerts/{case.id}/take")
    done = ana.send(f"/alerts/{case.id}", action="fraud", note="<b>ring</b>").headers["location"].rpartition("=")[2]
    ana.send("/undo", done=done)
    assert ana.get("/audit").status_code == 403
    page = kim.get("/audit").text
    assert "&lt;b&gt;ring&lt;/b&gt;" in page
    assert re.search(r"undone in \d+", page)
    assert len(re.findall("<tr>", kim.get("/audit?action=undo").text)) == 2  # with its head
    assert "Nothing was done" in kim.get("/audit?actor=ben").text
    assert ana.get("/users").status_code == 403
    users = kim.get("/users").text
    assert re.search(r'<th scope="row">ana</th><td>analyst</td>', users)
    assert "actor=kim" in users


def test_a_change_of_model_takes_two(office: Office) -> None:
    eve, max_, ana = office.user("eve", "manager"), office.user("max", "admin"), office.user("ana")
    (serving,) = re.findall(r"(\d{8}T\d{6}Z-[0-9a-f]{8}) <span", eve.get("/models").text)
    assert ana.send("/models", version=serving, note="x").status_code == 403
    assert eve.send("/models", version="none", note="x").status_code == 404
    assert eve.send("/models", version=serving, note="").status_code == 422
    page = eve.post("/models", version=serving, note="fewer alerts").text
    assert "proposed by eve" in page
    assert "a second person approves it" in page
    report = ana.get(f"/models/{serving}/report")
    assert report.headers["content-disposition"] == f'attachment; filename="{serving}.html"'
    assert report.text.startswith("<!")
    assert ana.get("/models/none/report").status_code == 404
    (proposal,) = office.desk.read(partial(case_events.proposed, action="propose"))
    refused = eve.send(f"/models/{proposal.id}", action="approve")
    assert refused.status_code == 403
    assert "second person" in refused.text
    assert max_.send(f"/models/{proposal.id}", action="approve").status_code == 303
    assert (Path(office.app.state.follower._registry.root) / "active").read_text() == (f"{serving}\nby max for eve\n")
    assert office.desk.read(partial(case_events.proposed, action="propose")) == []
    assert max_.send(f"/models/{proposal.id}", action="approve").status_code == 404


def test_an_author_never_approves_whatever_the_role() -> None:
    for role in RIGHTS:
        with pytest.raises(Refused, match="second person"):
            require_four_eyes("ana", Person("ana", role))
        require_four_eyes("ana", Person("ben", role))


def test_the_overview_counts_what_was_decided(office: Office) -> None:
    local = office.local()
    for label in ("fraud", "legitimate", "legitimate", "disputed"):
        case = office.queue()[0]
        local.send(f"/alerts/{case.id}/take")
        local.send(f"/alerts/{case.id}", action=label)
    page = local.get("/overview").text
    tiles = dict(re.findall(r'<h2>([^<]+)</h2><p class="big">([^<]+)</p>', page))
    assert tiles["Overturned"] == "0"
    assert tiles["Fraud approved"] == tiles["Fraud declined"] == "0 EUR"
    assert float(tiles["Fraud sent to review"].removesuffix(" EUR").replace(",", "")) > 0
    assert tiles["Decided in 14 days"] == "4"
    assert tiles["Fraud among them"] == "33 %"
    assert "local 4" in page
    days = re.findall(r'<td>\d\d \w{3}</td><td class="num">(\d+)</td><td class="num">([\d.]+) to ([\d.]+)</td>', page)
    assert len(days) == page.count('<rect class="promise"') > 0
    outside = sum(not float(low) <= int(alerts) <= float(high) for alerts, low, high in days)
    assert page.count('<rect class="broken"') == outside


def test_a_series_is_drawn_to_one_scale() -> None:
    drawn = series([("01 Mar", 10.0, 2.0, 4.0), ("02 Mar", 0.0, 0.0, 5.0)])
    (first, second), floor = drawn.bars, drawn.floor
    assert floor - first.top == pytest.approx(5 * (floor - first.low))
    assert (second.top, second.low) == (floor, floor)
    assert [bar.broken for bar in drawn.bars] == [True, False]
    assert [line.text for line in drawn.days] == ["01 Mar", "02 Mar"]
    assert series([]).bars == ()


def test_verdicts_that_were_taken_back_or_told_otherwise_are_overturned(office: Office) -> None:
    local, ids = office.local(), []
    for _ in range(2):
        case = next(one for one in office.queue() if one.hits == 1)
        local.send(f"/alerts/{case.id}/take")
        where = local.send(f"/alerts/{case.id}", action="legitimate").headers["location"]
        ids.append((case, where.rpartition("=")[2]))
    (case, _), (_, done) = ids
    local.send("/undo", done=done)
    page = local.get(f"/payments/{case.seq}").text
    name = re.findall(r"<dt>id</dt><dd>([^<]+)", page)[0]
    assert office.client.post("/v1/feedback", json={"transaction_id": name, "label": "fraud"}).status_code == 200
    assert "1 taken back, 1 told otherwise by a later label" in local.get("/overview").text


def test_a_sketch_keeps_to_its_frame_and_order() -> None:
    marks = [Mark(day * _DAY, 10.0**day, None, False, day == 3) for day in range(5)]
    drawn = sketch(marks, 3 * _DAY, 30 * _DAY, "here")
    assert all(0 <= point.x <= drawn.width and 0 <= point.y <= drawn.height for point in drawn.points)
    assert [point.here for point in drawn.points] == [False] * 4 + [True]
    later = sorted(drawn.points, key=lambda point: point.x)
    assert [point.y for point in later] == sorted((point.y for point in later), reverse=True)
    assert [line.text for line in drawn.days] == ["here", "1 d before", "2 d before", "3 d before"]
    assert sketch([Mark(0, None, None, False, True)], 0, _DAY, "here").points == ()


def test_other_thresholds_are_counted_from_the_log(office: Office) -> None:
    local = office.local()
    for label in ("fraud", "legitimate"):
        case = office.queue()[0]
        local.send(f"/alerts/{case.id}/take")
        local.send(f"/alerts/{case.id}", action=label)
    page = local.get("/what-if?a_day=2").text
    rows = re.findall(r"<tr.*?</tr>", page, re.S)[1:]
    alerts = [int(re.findall(r'<td class="num">([\d,]+)</td>', row)[0].replace(",", "")) for row in rows]
    assert alerts == sorted(alerts)
    store = office.app.state.serving.ledger.recorder.store
    now = sum(getattr(one, "decision", "approve") != "approve" for one in store.log())
    (current,) = (row for row in rows if ">now<" in row)
    assert f'<td class="num">{now}</td><td class="num">+0</td>' in current
    assert "asked for" in page

    def move(connection: Connection) -> None:  # all arrived at once; now of more days than that
        for seq in range(1, 5):
            earlier = decisions.c.time - 10 * seq * _DAY
            connection.execute(decisions.update().where(decisions.c.seq == seq).values(time=earlier))

    office.desk.write(move)
    times = sorted(one.time for one in store.log() if hasattr(one, "decision"))
    paid_on = len({time // _DAY for time in times}) - 1 + (times[-1] % _DAY - times[0] % _DAY) / _DAY
    assert f"{paid_on:.0f} days" in local.get("/what-if").text
    assert local.get("/what-if?a_day=none").status_code == 400


def test_scores_that_are_equal_alert_together_and_unknown_labels_count_as_neither() -> None:
    rows = [Ranked(0.9, "fraud"), Ranked(0.8, None), Ranked(0.8, "legitimate"), Ranked(0.5, "disputed")]
    found = choices(rows, 0.85, 2.0, asked=1.0)
    assert [(one.alerts, one.a_day, one.fraud, one.legitimate, one.more) for one in found] == [
        (1, 0.5, 1, 0, 0),
        (3, 1.5, 1, 1, 2),
    ]
    assert [one.precision for one in found] == [1.0, 0.5]
    assert [(one.now, one.asked) for one in found] == [(True, False), (False, True)]
    assert choices([], 0.9, 1.0, None) == []


_FIELDS = ("threshold", "text", "list", "column", "values", "value", "until", "version", "name", "verdict", "note")
_EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"


def test_what_anybody_writes_anywhere_is_shown_and_never_markup(office: Office) -> None:
    """Each field that something is kept of or shown from; a browser tries the same on the payment itself."""
    ana, eve = office.user("ana"), office.user("eve", "manager")
    first, second, *_ = office.queue()
    ana.send(f"/alerts/{first.id}/take")
    ana.send(f"/alerts/{first.id}", action="note", note=_EVIL)
    (serving,) = re.findall(r"(\d{8}T\d{6}Z-[0-9a-f]{8}) <span", eve.get("/models").text)
    rules = f"format = 1\n[[rule]]\nname = \"x\"\noutcome = \"review\"\nwhen = 'score > 0.5'\nnote = '''{_EVIL}'''\n"
    for who, path, form in (
        (ana, f"/alerts/{first.id}", {"action": "fraud"}),
        (ana, "/bulk", {"case": second.id, "verdict": "fraud"}),
        (ana, "/filters", {"name": _EVIL[:40], "holder": "mine"}),
        (eve, "/lists", {"list": "block", "column": "merchant_id", "values": _EVIL}),
        (eve, "/purges", {"column": "card_id", "value": _EVIL}),
        (eve, "/models", {"version": serving}),
        (eve, "/what-if", {"threshold": "0.999"}),
        (eve, "/rules", {"text": rules}),
    ):
        assert who.send(path, note=_EVIL, **form).status_code == 303, path
    listed = {"list": "watch", "column": "merchant_id", "values": [_EVIL], "note": _EVIL}
    assert office.client.post("/v1/lists/add", json=listed).status_code == 200
    asked = urlencode(dict.fromkeys(("q", "least", "from", "actor", "find", "values", "value", "note", "said"), _EVIL))
    paths = ["", f"/alerts/{first.id}", f"/alerts/{second.id}", "/audit", "/users", "/overview", "/search", "/lists"]
    paths += ["/purges", "/models", "/what-if", "/rules", f"/of?{urlencode({'merchant_id': _EVIL})}"]
    told = [ana.get(""), *(eve.get(path) for path in paths)]
    told += [eve.get(f"{path}{'&' if '?' in path else '?'}{asked}") for path in paths]
    for path in ("/what-if", "/rules/test", "/lists/test", "/lists", "/purges", "/models", "/filters", "/bulk"):
        told.append(eve.send(path, **dict.fromkeys(_FIELDS, _EVIL)))
    told += [eve.send("/rules/test", text=rules), office.local().send("/sign-in", name=_EVIL, password=_EVIL)]
    for answer in told:
        assert "<img src=x" not in answer.text
        assert "<script>alert" not in answer.text
    assert sum("&lt;img src=x" in answer.text for answer in told) > 20


def test_pages_are_made_beside_the_event_loop(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who score wait for it: rows of a queue are read out, and templates filled, in other threads."""
    local = office.local()
    where: dict[str, set[bool]] = {"rows": set(), "pages": set()}

    def told(what: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            where[what].add(threading.current_thread() is threading.main_thread())
            return act(*arguments, **named)

        return call

    monkeypatch.setattr(Facts, "of", staticmethod(told("rows", Facts.of)))
    monkeypatch.setattr(pages, "respond", told("pages", pages.respond))
    for path in ("", f"/alerts/{office.queue()[0].id}", "/search?q=card-1", "/overview", "/audit"):
        assert local.get(path).status_code == 200
    assert where == {"rows": {False}, "pages": {False}}
