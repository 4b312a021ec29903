"""Cases on both SQL stores: opened with alerts, one of a card at a time, held by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event

from app.store.contract import Desk, Store
from app.store.desk import Case, Counts, Place, Wanted
from app.store.sql import case_events, cases, migrations
from app.store.sql.rows import decision_row, label_row
from app.store.sql.tables import decisions, labels
from tests.app.store.conftest import Backend
from tests.app.store.events import append, decision, key, label


@pytest.fixture
def store(sql_backend: Backend) -> Iterator[Store]:
    found = sql_backend.open()
    yield found
    found.close()


@pytest.fixture
def desk(store: Store) -> Desk:
    found = store.desk()
    assert found is not None
    return found


def alert(store: Store, name: str, score: float, *cards: str, said: str = "review") -> int:
    """Record one; its place in the log."""
    (written,) = append(store, decision(name, *(key(card) for card in cards), score=score, decision=said))
    return written.seq


def queue(desk: Desk, **wanted: object) -> list[Case]:
    return desk.read(lambda connection: cases.page(connection, Wanted(**wanted), Place(), 100))  # type: ignore[arg-type]


def test_alerts_of_one_card_are_one_case_until_it_is_closed(store: Store, desk: Desk) -> None:
    first = alert(store, "t1", 0.991, "a", "m")
    alert(store, "t2", 0.5, "a", said="approve")
    high = alert(store, "t3", 0.999, "a", said="decline")
    last = alert(store, "t4", 0.995, "a")
    other = alert(store, "t5", 0.992, "b")
    one, two = queue(desk)
    assert (one.id, one.seq, one.last, one.hits, one.score) == (first, high, last, 3, 0.999)
    assert (two.id, two.hits) == (other, 1)
    desk.write(lambda connection: cases.put(connection, first, state="closed"))
    new = alert(store, "t6", 0.994, "a")
    assert [(case.id, case.hits) for case in queue(desk)] == [(new, 1), (other, 1)]
    assert desk.read(lambda connection: cases.of_alert(connection, high, key("a"))).id == first  # type: ignore[union-attr]


def test_alerts_of_no_card_are_cases_of_their_own(store: Store, desk: Desk) -> None:
    seqs = [alert(store, f"t{i}", 0.99) for i in range(3)]
    assert [case.id for case in queue(desk)] == seqs[::-1]


def test_a_case_is_held_by_one_until_the_claim_ends(store: Store, desk: Desk) -> None:
    low, high = alert(store, "t1", 0.991, "a"), alert(store, "t2", 0.999, "b")

    def take(name: str, now: int) -> int | None:
        found = desk.write(lambda connection: cases.first_free(connection, "open", name, now))
        if found is None:
            return None
        assert desk.write(lambda connection: cases.hold(connection, found.id, name, now, now + 10))
        return found.id

    assert [take("ana", 0), take("ben", 1), take("ana", 2), take("eve", 3)] == [high, low, high, None]
    assert not desk.write(lambda connection: cases.hold(connection, high, "eve", 5, 15))
    counts = desk.read(lambda connection: cases.counts(connection, "eve", 5))
    assert counts == Counts(open=2, mine=0, others=2)
    assert take("eve", 12) == high  # ana's ended
    assert [case.id for case in queue(desk, holder="free", now=12)] == [low]
    assert [case.id for case in queue(desk, holder="eve", now=12)] == [high]


@pytest.mark.parametrize("wanted", [{}, {"holder": "free"}, {"min_score": 0.5}, {"state": "escalated"}])
def test_any_page_is_read_by_the_index_in_its_order(store: Store, desk: Desk, wanted: dict[str, object]) -> None:
    """So that the last page of a long queue costs what the first one does."""

    def plans(connection: Connection) -> list[str]:
        lite = connection.dialect.name == "sqlite"
        said: list[tuple[str, Any]] = []

        def listen(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
            if statement.startswith("SELECT"):
                said.append((statement, parameters))

        if not lite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # which is best for a table so small
        event.listen(connection, "before_cursor_execute", listen)
        for at in (Place(), Place(0.9, 1), Place(-1.0, -1, back=True)):
            cases.page(connection, Wanted(**wanted), at, 50)  # type: ignore[arg-type]
        event.remove(connection, "before_cursor_execute", listen)
        explain = "EXPLAIN QUERY PLAN " if lite else "EXPLAIN "
        return [str(connection.exec_driver_sql(explain + text, values).all()) for text, values in said]

    found = desk.read(plans)
    assert len(found) == 3
    for plan in found:
        assert "cases_queue" in plan
        assert "Sort" not in plan and "B-TREE" not in plan


def test_events_are_numbered_and_listed(desk: Desk) -> None:
    numbers = [
        desk.write(lambda connection, i=i: case_events.add(connection, i, "ana", "note", 7, text=str(i)))  # type: ignore[misc]
        for i in range(3)
    ]
    assert numbers == [1, 2, 3]
    desk.write(lambda connection: case_events.undone(connection, 2, 3))
    found = desk.read(lambda connection: case_events.page(connection, 3, 10))
    assert [(event.id, event.undone_by) for event in found] == [(2, 3), (1, None)]


def test_a_log_from_before_there_were_cases_is_open_where_nobody_labelled(sql_backend: Backend) -> None:
    said = (("t1", "a", 0.991), ("t2", "a", 0.999), ("t3", "b", 0.992), ("t4", "c", 0.5))
    rows = [
        decision_row(decision(name, key(card), seq=seq, score=score, decision="approve" if seq == 4 else "review"))
        for seq, (name, card, score) in enumerate(said, start=1)
    ]
    engine = create_engine(sql_backend.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        migrations.upgrade(connection, "log", to="0003")
        connection.execute(decisions.insert(), [dict(zip(decisions.c.keys(), row, strict=True)) for row in rows])
        known = dict(zip(labels.c.keys(), label_row(label("t3", seq=5)), strict=True))
        connection.execute(labels.insert(), [known])
    engine.dispose()
    store = sql_backend.open()
    found = store.desk()
    assert found is not None
    (case,) = queue(found)
    assert (case.id, case.seq, case.last, case.hits, case.score) == (1, 2, 2, 2, 0.999)
    assert case.entity_key == key("a")
    store.close()


def test_a_label_from_elsewhere_closes_the_case_of_a_single_alert(store: Store, desk: Desk) -> None:
    one, two = alert(store, "t1", 0.991, "a"), alert(store, "t2", 0.992, "b")
    alert(store, "t3", 0.993, "b")
    open_ = alert(store, "t4", 0.994, "c")
    append(store, label("t1", "legitimate"), label("t2"), label("t4", "disputed"))
    assert [case.id for case in queue(desk)] == [open_, two]
    closed = desk.read(lambda connection: cases.find(connection, one))
    assert closed is not None
    assert (closed.state, closed.verdict, closed.decided_by, closed.decided_at) == (
        "closed",
        "legitimate",
        "analyst",
        7,
    )
