"""Which version answers from when on, as the log has it."""

from __future__ import annotations

import random
import shutil
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from app.recording.activations import activated, active_at
from app.service import create_app
from app.settings import Settings
from app.store.open import open_store
from app.store.records import Activation
from app.store.redis.store import RedisStore
from models.registry import Registry
from models.rethreshold import rethreshold
from models.scorer import Scorer
from models.thresholds import Policy
from tests import servers
from tests.app.recording.test_startup import prefix
from tests.app.store.events import append, decision


@pytest.fixture
def registry(tiny_model: Path, tmp_path: Path) -> Registry:
    """One's own: the tiny version, active, and the same with another threshold."""
    registry = Registry(tmp_path / "artifacts")
    shutil.copytree(tiny_model, registry.root / tiny_model.name)
    registry.activate(tiny_model.name)
    rethreshold(registry.folder(tiny_model.name), registry, Policy(name="alert-rate", value=0.2))
    return registry


def serve(registry: Registry, url: str, version: str | None = None) -> list[Activation]:
    """A service started and stopped; what its log says then."""
    scorer = Scorer.load(registry.resolve(version))
    create_app(Settings(artifacts=registry.root, database_url=url), scorer).state.serving.close()
    with closing(open_store(url, read_only=True)) as store:
        return list(store.activations())


def test_a_start_says_which_version_answers_once(registry: Registry, own_store: str) -> None:
    old, new = registry.versions()
    before = time.time_ns() // 1_000
    (first,) = serve(registry, own_store)
    threshold = Scorer.load(registry.folder(old)).manifest.threshold.score
    assert first == Activation(1, old, None, first.at, 0, threshold)
    assert before <= first.at <= time.time_ns() // 1_000
    assert serve(registry, own_store) == [first]
    registry.activate(new, by="alice", report="ab" * 32)
    _, second = serve(registry, own_store)
    assert (second.version, second.before, second.by, second.report) == (new, old, "alice", "ab" * 32)
    *_, third = serve(registry, own_store, old)  # by its name: who wanted another one says nothing of it
    assert (third.number, third.version, third.before, third.by, third.report) == (3, old, new, None, None)


def test_of_processes_that_change_over_together_one_says_so(tiny_scorer: Scorer) -> None:
    with prefix() as name, closing(RedisStore(servers.redis(), name)) as store:
        append(store, decision("t1"), decision("t2"))
        found: list[Activation] = []
        together = threading.Barrier(4)

        def change_over() -> None:
            together.wait()
            found.append(activated(store, tiny_scorer.manifest, "alice"))

        threads = [threading.Thread(target=change_over) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert activated(store, tiny_scorer.manifest, "bob") == found[0]
        assert list(store.activations()) == [found[0]]
        assert len(set(found)) == 1 and found[0].seq == 2


def test_which_version_decided_is_right_for_any_time() -> None:
    """Against the history as it was lived through, microsecond by microsecond at each change."""
    draw = random.Random(0)
    times = sorted(draw.sample(range(1_000, 1_000_000), 50))
    known = [Activation(i + 1, f"v{i % 7}", None, at, i, 0.9 + i / 1_000) for i, at in enumerate(times)]
    for moment in [draw.randrange(1_001_000) for _ in range(10_000)] + [at + d for at in times for d in (-1, 0)]:
        found = active_at(known, moment)
        lived = [one for one in known if one.at <= moment]
        assert found == (lived[-1] if lived else None)
