"""Work ahead: results in order, few items taken, the first failure told."""

from __future__ import annotations

import threading

import pytest

from models.ahead import in_order


def test_results_come_in_the_order_of_the_items() -> None:
    second = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            second.wait()  # the first is finished last
        else:
            second.set()
        return item * item

    assert list(in_order(work, range(50), 3)) == [item * item for item in range(50)]
    assert list(in_order(work, [], 2)) == []


def test_no_more_items_are_taken_than_are_worked_on_and_wait() -> None:
    taken: list[int] = []

    def items() -> range:
        return range(100)

    results = in_order(lambda item: item, (taken.append(item) or item for item in items()), 2)  # type: ignore[func-returns-value]
    assert next(results) == 0
    assert len(taken) == 3
    results.close()  # type: ignore[attr-defined]
    assert len(taken) == 3


def test_the_first_failure_in_order_is_raised() -> None:
    failed = threading.Event()

    def work(item: int) -> int:
        if item == 3:
            failed.set()
            raise ValueError("the later one")
        if item == 2:
            failed.wait()
            raise ValueError("the first one")
        return item

    results = in_order(work, range(10), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="the first one"):
        next(results)
