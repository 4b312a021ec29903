"""Acknowledged means durable: what a reply says is recorded was synced before it was sent, as the kernel saw it.

A kill does not show that: what was written and never synced survives the process, and not a power cut.
"""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests import servers
from tests.app.faults import failing_sync
from tests.app.records import sent, till
from tests.app.syscalls import Reply, replies, strace, synced_before_requests
from tests.app.test_faults import Till
from tests.app.traffic import Payments, Server

ROWS = range(60)


def seen(payments: Payments, folder: Path, durability: str) -> list[Reply]:
    """What the kernel saw of the replies to a crowd of clients."""
    trace = folder / "trace"
    settings = {"COUNTERFOIL_DURABILITY": durability}
    with closing(Server(payments.artifacts, folder / "log.db", strace(trace), **settings)) as server:
        server.start()
        answers = Till(payments, server).send(ROWS)
        server.end(signal.SIGTERM)
    assert all(answer.logged for answer in answers.values())
    found = replies(trace, "POST /v1/score")
    assert len(found) == len(ROWS)
    assert all(reply.recorded for reply in found)
    return found


def test_a_sync_of_the_log_comes_before_each_acknowledgement(payments: Payments, tmp_path: Path) -> None:
    assert all(reply.synced for reply in seen(payments, tmp_path, "full"))


def test_without_full_durability_replies_do_not_wait_for_a_sync(payments: Payments, tmp_path: Path) -> None:
    assert not all(reply.synced for reply in seen(payments, tmp_path, "normal"))


def test_what_a_kill_left_unsynced_is_synced_before_it_is_acknowledged(payments: Payments, tmp_path: Path) -> None:
    """The log's file holds a transaction whose sync failed; the next process finds it there, and answers from it."""
    file, trace = tmp_path / "log.db", tmp_path / "trace"
    with closing(Server(payments.artifacts, file, **failing_sync(tmp_path))) as first:
        first.start()
        (tmp_path / "fail").touch()
        assert Till(payments, first).send(ROWS[:1])[0].status == 503
        first.end(signal.SIGKILL)
    with closing(Server(payments.artifacts, file, strace(trace))) as second:
        second.start()
        answer = Till(payments, second).send(ROWS[:1])[0]
        second.end(signal.SIGTERM)
    assert answer.logged
    assert [reply.recorded for reply in replies(trace, "POST /v1/score")] == [False]  # it was there, and only read
    assert synced_before_requests(trace)


@pytest.mark.parametrize(("durability", "expected"), [("full", "on"), ("normal", "off")])
def test_postgresql_is_asked_to_sync_before_it_answers(payments: Payments, durability: str, expected: str) -> None:
    """As its own sessions saw it while they wrote. That a commit then waits for a sync is the server's promise, which
    it keeps with ``fsync`` on; its calls are not ours to trace."""
    with servers.postgresql() as url, psycopg.connect(url, autocommit=True) as beside:
        with till(payments, url, durability=durability):
            pass  # makes the tables
        beside.execute("CREATE TABLE seen AS SELECT '' AS commits, '' AS syncs LIMIT 0")
        beside.execute(
            "CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO seen "
            "VALUES (current_setting('synchronous_commit'), current_setting('fsync')); RETURN NULL; END $$"
        )
        beside.execute("CREATE TRIGGER look AFTER INSERT ON decisions FOR EACH ROW EXECUTE FUNCTION look()")
        with till(payments, url, durability=durability) as one:
            assert json.loads(bytes(one.send(*sent(payments, 3))[2]))["logged"]  # type: ignore[arg-type]
        assert beside.execute("SELECT * FROM seen").fetchall() == [(expected, "on")] * 3
