"""Uploads, reads and pages leave the processor to payments that wait, and come nevertheless."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from itertools import chain, pairwise, repeat

import pytest

from app import beside as module
from app.beside import Beside
from tests.waiting import FAR

#: Seconds of a piece of work.
WORK = 0.004


def test_while_nobody_waits_all_goes_on_at_once() -> None:
    together = threading.Barrier(3, timeout=FAR)
    beside = Beside(lambda: False)

    async def all_of_them() -> None:
        await asyncio.gather(*(beside.run(together.wait) for _ in range(3)))

    asyncio.run(all_of_them())
    assert not together.broken


def test_while_payments_wait_pieces_take_turns_with_nine_times_as_long_rests() -> None:
    beside, spans = Beside(lambda: True), list[tuple[int, float, float]]()

    def piece(number: int) -> None:
        begun = time.monotonic()
        time.sleep(WORK)  # it is the work
        spans.append((number, begun, time.monotonic()))

    async def all_of_them() -> None:
        await asyncio.gather(*(beside.run(lambda number=number: piece(number)) for number in range(3)))  # type: ignore[misc]

    asyncio.run(all_of_them())
    assert [number for number, _, _ in spans] == [0, 1, 2]
    for (_, begun, done), (_, next_begun, _) in pairwise(spans):
        assert next_begun - done >= 9 * (done - begun)


def test_a_rest_ends_with_the_rush(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REST", 1e9)
    monkeypatch.setattr(module, "_LONGEST", FAR)
    looks = chain(repeat(True, 4), repeat(False))
    beside = Beside(lambda: next(looks))

    async def two() -> None:
        for _ in range(2):
            await beside.run(lambda: time.sleep(WORK))

    asyncio.run(asyncio.wait_for(two(), FAR))
    parts = iter([1, 2, 3])
    looks = chain(repeat(True, 3), repeat(False))
    assert list(beside.resting(parts)) == [1, 2, 3]


def test_what_fails_or_is_called_off_lets_the_next_one_have_its_turn() -> None:
    beside, held = Beside(lambda: True), threading.Event()

    def wrong() -> None:
        raise OSError("full")

    async def some() -> int:
        with pytest.raises(OSError, match="full"):
            await beside.run(wrong)
        waiting = asyncio.create_task(beside.run(lambda: held.wait(FAR)))
        behind = asyncio.create_task(beside.run(lambda: 1))
        await asyncio.sleep(0)
        behind.cancel()
        held.set()
        assert await waiting
        return await beside.run(lambda: 2)

    assert asyncio.run(some()) == 2


def test_parts_of_an_export_rest_between_them_while_payments_wait() -> None:
    times = list[float]()

    def slow() -> Iterator[int]:
        for number in range(3):
            times.append(time.monotonic())
            time.sleep(WORK)  # it is the work
            yield number

    assert list(Beside(lambda: True).resting(slow())) == [0, 1, 2]
    assert times[1] - times[0] >= 10 * WORK
