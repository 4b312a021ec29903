"""The shadow beside a running service: stopped, killed and started again, it changes no answer and misses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from app.shadow.results import Columns, Results
from app.store.open import open_store
from app.store.records import Decision
from models.challenge import fresh_from
from models.errors import InvalidInput
from models.registry import Registry
from models.rethreshold import rethreshold
from models.scorer import Scorer
from models.thresholds import Policy
from tests.app.reload.test_swaps import JSON
from tests.app.reload.versions import Offline, copied
from tests.app.test_server import ROOT, connect, running
from tests.command_line import Cli
from tests.waiting import until


def test_nothing_is_lost_twice_or_changed(
    nameless: Registry, tiny_frame: pl.DataFrame, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = copied(nameless, tmp_path)
    old, new = registry.versions()
    third = rethreshold(registry.folder(new), registry, Policy(name="alert-rate", value=0.3))[0].version
    fresh = fresh_from(Scorer.load(registry.folder(new)).manifest)
    frame = tiny_frame.filter(pl.col("timestamp").dt.epoch("us") >= fresh).head(90)
    offline = Offline(registry, [old, new])
    sent = offline.bodies(frame)
    expected = offline.replies(old, sent, 1)
    scores = [json.loads(one)["score"] for one in offline.replies(new, sent, 0)]
    url, file = f"sqlite:///{tmp_path / 'log.db'}", tmp_path / "shadow.db"
    command = [sys.executable, str(ROOT / "counterfoil.py"), "shadow", new, third, "--database", url]
    environment = {**os.environ, "COUNTERFOIL_ARTIFACTS": str(registry.root), "COUNTERFOIL_SHADOW_FILE": str(file)}

    def shadowed(version: str) -> Columns:
        with closing(Results(file, writes=False)) as results:
            return results.columns(version, 1_000)

    with running(registry.root, COUNTERFOIL_DATABASE_URL=url) as (_, port, _), connect(port) as connection:

        def send(rows: slice) -> None:
            for body, answer in zip(sent[rows], expected[rows], strict=True):
                connection.request("POST", "/v1/score?reasons=1", body, JSON)
                assert connection.getresponse().read() == answer

        send(slice(0, 30))
        shadow = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            until(lambda: len(shadowed(third).seq) == 30, "the first thirty", not_yet=(InvalidInput,))
            send(slice(30, 40))  # while it looks
            shadow.send_signal(signal.SIGSTOP)
            send(slice(40, 60))
            assert len(shadowed(third).seq) < 60
        finally:
            shadow.kill()
            shadow.wait()
        send(slice(60, 90))
        monkeypatch.setenv("COUNTERFOIL_SHADOW_FILE", str(file))
        done = cli("shadow", new, third, "--database", url, "--artifacts", registry.root, "--once")
    assert done.code == 0, done.err
    with closing(open_store(url, read_only=True)) as store:
        seqs = [event.seq for event in store.log() if isinstance(event, Decision)]
    for version in (new, third):
        found = shadowed(version)
        assert found.seq.tolist() == seqs and found.score.tolist() == scores
    assert shadowed(third).decision.sum() > shadowed(new).decision.sum()
