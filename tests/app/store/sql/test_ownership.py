"""Stores that one process owns: who may write, and what is kept when writing fails."""

from __future__ import annotations

import pytest

from app.store.errors import StoreInUse, StoreUnavailable
from app.store.records import SavedState, View
from tests.app.store.conftest import Backend
from tests.app.store.events import SECRET, append, decision, key, label, look
from tests.app.store.processes import WRITER, python
from tests.waiting import until

A = key("a")


def test_a_second_owner_is_refused_until_the_first_closes(sql_backend: Backend) -> None:
    first = sql_backend.open()
    with pytest.raises(StoreInUse, match=r"another process.*owns this store.*stop it") as caught:
        sql_backend.open()
    assert ("log.db" if sql_backend.kind == "sqlite" else "counterfoil_test_") in str(caught.value)
    append(first, decision("t1"))
    first.close()
    second = sql_backend.open()
    assert append(second, decision("t2"))[0].seq == 2
    second.close()


def test_a_killed_owner_leaves_all_it_acknowledged_and_no_lock(sql_backend: Backend) -> None:
    with python(WRITER, sql_backend.url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(StoreInUse):
            sql_backend.open()
        acknowledged = [int(process.stdout.readline()) for _ in range(20)]
        process.kill()
        acknowledged += map(int, process.stdout.read().split())
    # A server notices a moment later that its client is gone.
    store = until(sql_backend.open, "a store that is free", not_yet=(StoreInUse,))
    seqs = [event.seq for event in store.log()]
    assert seqs[: len(acknowledged)] == acknowledged
    assert len(seqs) <= len(acknowledged) + 1  # the last may have been written and not said
    assert look(store, keys=[A]).states[A].seq == seqs[-1]
    assert append(store, decision(None))[0].seq == seqs[-1] + 1
    store.close()


def test_the_same_id_twice_is_an_error_that_tells_no_values(sql_backend: Backend) -> None:
    store = sql_backend.open()
    append(store, decision(SECRET, A), states={A: b"1"})
    with pytest.raises(StoreUnavailable, match="already holds") as caught:
        append(store, decision("other", A), decision(SECRET), label("other"), states={A: b"2"}, watermark=9)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is caught.value.__cause__ is None
    assert (len(list(store.log())), store.watermark()) == (1, 0)
    assert look(store, ["other"], [A]) == View({}, {}, {A: SavedState(1, b"1")}, 2)
    assert list(store.log(keys=[A])) == list(store.log())
    store.close()
