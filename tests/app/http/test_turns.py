"""Work that comes in thousands leaves the loop to others in between, and is done whole and in order."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from app.http.turns import Turns


async def _ticks(loop: asyncio.AbstractEventLoop, done: list[int], until: int) -> int:
    ticks = 0
    while len(done) < until:
        ticks += 1
        await asyncio.sleep(0)
    return ticks


def _work(done: list[int], number: int) -> None:
    end = time.perf_counter() + 0.0005
    while time.perf_counter() < end:
        pass
    done.append(number)


def test_each_piece_leaves_a_turn_to_others() -> None:
    async def run() -> tuple[list[int], int, int]:
        loop, turns, done = asyncio.get_running_loop(), Turns(), list[int]()
        for number in range(40):
            turns.add(loop, partial(_work, done, number))
        at_once = len(done)
        return done, at_once, await _ticks(loop, done, 40)

    done, at_once, ticks = asyncio.run(run())
    assert done == list(range(40))
    assert at_once == 1
    assert ticks >= 39


def test_there_are_pauses_in_which_the_loop_is_idle() -> None:
    """Pieces of 0.5 ms in turns of 2 ms, each with a pause of 2 ms: more than half again as long as the work."""

    async def run() -> float:
        loop, turns, done = asyncio.get_running_loop(), Turns(), list[int]()
        began = time.perf_counter()
        for number in range(40):
            turns.add(loop, partial(_work, done, number))
        await _ticks(loop, done, 40)
        return time.perf_counter() - began

    assert asyncio.run(run()) > 1.5 * 40 * 0.0005


def test_what_comes_alone_is_done_at_once() -> None:
    async def run() -> None:
        loop, turns, done = asyncio.get_running_loop(), Turns(), list[int]()
        for number in range(3):
            turns.add(loop, partial(done.append, number))
            assert done[-1] == number
            await asyncio.sleep(0.001)

    asyncio.run(run())


def test_what_fails_does_not_keep_the_others_from_their_turn() -> None:
    async def run() -> tuple[list[int], list[object]]:
        loop, turns, done, told = asyncio.get_running_loop(), Turns(), list[int](), list[object]()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

        def wrong() -> None:
            raise OSError("gone")

        turns.add(loop, partial(_work, done, 0))
        turns.add(loop, wrong)
        turns.add(loop, partial(_work, done, 1))
        await _ticks(loop, done, 2)
        return done, told

    done, told = asyncio.run(run())
    assert done == [0, 1] and [str(one) for one in told] == ["gone"]
