"""How answers come from the ledger's thread to those who wait on the event loop."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from fastapi import FastAPI

from app.recording.ledger import _TOLD_AT_ONCE, Ledger, _Job


def test_a_crowd_of_answers_leaves_the_loop_to_others_in_between(app: FastAPI) -> None:
    ledger: Ledger = app.state.serving.ledger

    async def told() -> list[int]:
        loop = asyncio.get_running_loop()
        jobs = [_Job(loop, loop.create_future()) for _ in range(3 * _TOLD_AT_ONCE)]
        ledger._tell(jobs, list(range(len(jobs))), None, each=True)
        counts = [0]
        while counts[-1] < len(jobs):
            await asyncio.sleep(0)  # others have their turn
            done = [job.future.done() for job in jobs]
            counts.append(sum(done))
            assert all(done[: counts[-1]])  # in their order
        assert [job.future.result() for job in jobs] == list(range(len(jobs)))
        return counts

    counts = asyncio.run(told())
    assert max(after - before for before, after in pairwise(counts)) == _TOLD_AT_ONCE
