"""Versions take over from one another in a running service, good ones and damaged ones, while requests keep coming.

python -m pytest tests/app/reload/test_swaps.py                            # 2 good and 2 bad swaps
python -m pytest -p tests.long --long -s tests/app/reload/test_swaps.py    # 50 and 50 under 100,000 requests, then 200
"""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app.store.open import open_store
from models.registry import Registry
from tests.app.reload.versions import Offline, copied, damaged, point_at
from tests.app.test_server import connect, running
from tests.waiting import until

CLIENTS, DIFFERENT = 4, 250
JSON = {"Content-Type": "application/json"}


@dataclass
class Asked:
    """What clients sent over connections that stay open, and what they were answered.

    Attributes:
        answers: place of the body, status, answer.
        failures: requests without one.
    """

    answers: list[tuple[int, int, bytes]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)

    def ask(self, port: int, bodies: list[bytes], first: int, enough: threading.Event) -> None:
        """Send one after the other until told to stop."""
        place = first
        with connect(port) as connection:
            while not enough.is_set():
                place = (place + 1) % len(bodies)
                try:
                    connection.request("POST", "/v1/score?reasons=2", bodies[place], JSON)
                    answer = connection.getresponse()
                    self.answers.append((place, answer.status, answer.read()))
                except (OSError, http.client.HTTPException) as error:
                    self.failures.append(error)
                    return


def ready(port: int) -> dict[str, Any]:
    """What ``/readyz`` says."""
    with connect(port) as connection:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        assert answer.status == 200
        found: dict[str, Any] = json.load(answer)
        return found


def swap(registry: Registry, port: int, good: str, bad: str) -> None:
    """Have a damaged version refused, then a good one serve."""
    point_at(registry, bad)
    until(lambda: (ready(port)["next"] or {}).get("state") == "refused", "the refusal")
    point_at(registry, good)
    until(lambda: ready(port)["model_version"] == good and ready(port)["next"] is None, "the change")


def held(pid: int) -> tuple[int, int, int]:
    """Memory in KiB, open files and threads of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return int(status["VmRSS"].split()[0]), files, int(status["Threads"])


@pytest.mark.parametrize(
    ("swaps", "requests"), [(2, 0), pytest.param(50, 100_000, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_no_request_fails_and_each_answer_is_its_versions(
    nameless: Registry, tiny_frame: pl.DataFrame, tmp_path: Path, swaps: int, requests: int
) -> None:
    registry = copied(nameless, tmp_path)
    versions = registry.versions()
    offline, bad = Offline(registry, versions), damaged(registry, versions[1])
    sent = offline.bodies(tiny_frame.head(DIFFERENT))
    asked, enough = Asked(), threading.Event()
    url = f"sqlite:///{tmp_path / 'swaps.db'}"
    with running(registry.root, COUNTERFOIL_DATABASE_URL=url, COUNTERFOIL_LOG_LEVEL="error") as (process, port, _):
        clients = [
            threading.Thread(target=asked.ask, args=(port, sent, start * 50, enough)) for start in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        for number in range(swaps):
            seen = len(asked.answers)
            swap(registry, port, versions[(number + 1) % 2], bad)
            until(lambda seen=seen: len(asked.answers) > seen + CLIENTS or asked.failures)  # type: ignore[misc]
        while len(asked.answers) < requests and not asked.failures:
            seen = len(asked.answers)
            until(lambda seen=seen: len(asked.answers) > seen or asked.failures)  # type: ignore[misc]
        enough.set()
        for client in clients:
            client.join()
        process.terminate()
        process.communicate()
    assert not asked.failures
    assert {status for _, status, _ in asked.answers} == {200}
    expected = {version: offline.replies(version, sent, 2) for version in versions}
    stated = [json.loads(answer)["model_version"] for _, _, answer in asked.answers]
    wrong = [
        place
        for (place, _, answer), version in zip(asked.answers, stated, strict=True)
        if answer != expected[version][place]
    ]
    assert not wrong
    assert set(stated) == set(versions)
    with closing(open_store(url, read_only=True)) as store:
        activations = list(store.activations())
        decisions = [(one.seq, one.model_version) for one in store.log() if hasattr(one, "model_version")]
    assert [one.version for one in activations] == [versions[number % 2] for number in range(swaps + 1)]
    assert len(decisions) == len(asked.answers)
    late = [seq for seq, version in decisions if version != [a for a in activations if a.seq < seq][-1].version]
    print(f"{len(stated):,} requests, {swaps} good and {swaps} bad swaps; {len(late)} answered by the one before")
    assert len(late) <= swaps * CLIENTS  # those that had begun


@pytest.mark.parametrize(
    ("swaps", "kib"), [(4, 64 << 10), pytest.param(200, 16 << 10, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_memory_files_and_threads_stay_flat(
    nameless: Registry, tiny_frame: pl.DataFrame, tmp_path: Path, swaps: int, kib: int
) -> None:
    registry = copied(nameless, tmp_path)
    versions = registry.versions()
    (body,) = Offline(registry, versions).bodies(tiny_frame.head(1))
    with running(registry.root, COUNTERFOIL_LOG_LEVEL="error") as (process, port, _):

        def change(number: int) -> None:
            point_at(registry, versions[number % 2])
            until(lambda: ready(port)["model_version"] == versions[number % 2])
            with connect(port) as connection:
                connection.request("POST", "/v1/score", body, JSON)
                assert json.load(connection.getresponse())["model_version"] == versions[number % 2]

        for number in range(1, 1 + swaps // 4):
            change(number)
        first = held(process.pid)
        for number in range(1 + swaps // 4, 1 + swaps):
            change(number)
        # A connection to the store more, or a thread of the pool, but not one more per swap.
        until(lambda: held(process.pid)[1] <= first[1] + 2, "the last connections' end")
        last = held(process.pid)
        print(f"{swaps} swaps: {first} then {last} (KiB, files, threads)")
        assert last[2] <= first[2] + 2
        assert last[0] - first[0] < kib
