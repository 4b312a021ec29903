"""The way back under load: how long it takes, and that the old version answers as it did before, to the last bit.

python -m pytest tests/app/versions/test_rollback.py                            # there and back once
python -m pytest -p tests.long --long -s tests/app/versions/test_rollback.py    # 50 times, with the times it took
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from models.registry import Registry
from tests.app.reload.test_swaps import CLIENTS, JSON, Asked
from tests.app.reload.versions import Offline, copied
from tests.app.test_server import connect, running
from tests.waiting import until

#: Seconds that the way back may take.
MOST = 2.0


def post(port: int, path: str, body: bytes) -> Any:
    """The answer, which must be a good one."""
    with connect(port) as connection:
        connection.request("POST", path, body, JSON)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        return content


@pytest.mark.parametrize("times", [1, pytest.param(50, marks=pytest.mark.long)], ids=["short", "long"])
def test_the_way_back_is_short_and_exact(
    nameless: Registry, tiny_frame: pl.DataFrame, tmp_path: Path, times: int
) -> None:
    registry = copied(nameless, tmp_path)
    old, new = registry.versions()
    offline = Offline(registry, [old, new])
    sent = offline.bodies(tiny_frame.head(20))
    url = f"sqlite:///{tmp_path / 'rollback.db'}"
    asked, enough, took = Asked(), threading.Event(), list[float]()
    with running(registry.root, COUNTERFOIL_DATABASE_URL=url, COUNTERFOIL_LOG_LEVEL="error") as (_, port, _):
        clients = [threading.Thread(target=asked.ask, args=(port, sent, n, enough)) for n in range(CLIENTS)]
        for client in clients:
            client.start()
        began = time.monotonic()
        try:
            for _ in range(times):
                post(port, f"/v1/models/{new}/activate", b"{}")
                assert [post(port, "/v1/score?reasons=2", body) for body in sent] == offline.replies(new, sent, 2)
                before = time.monotonic()
                told = json.loads(post(port, "/v1/models/rollback", b"{}"))
                took.append(time.monotonic() - before)
                assert (told["version"], told["state"]) == (old, "serving")
                assert [post(port, "/v1/score?reasons=2", body) for body in sent] == offline.replies(old, sent, 2)
                seen = len(asked.answers)
                until(lambda seen=seen: len(asked.answers) > seen + CLIENTS or asked.failures)  # type: ignore[misc]
        finally:
            seconds = time.monotonic() - began
            enough.set()
            for client in clients:
                client.join()
    assert not asked.failures and {status for _, status, _ in asked.answers} == {200}
    rate = len(asked.answers) / seconds
    middle = statistics.median(took)
    print(f"{times} ways back at {rate:,.0f} requests/s: median {middle:.2f} s, most {max(took):.2f} s")
    if times > 1:  # one alone may fall on a busy moment of the machine
        assert middle <= MOST
