"""What a challenger would change, as API and command line tell it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.service import create_app
from app.settings import Settings
from app.shadow.results import Results, Shadowed
from app.store.contract import Store
from models.forms.time_patterns import DAY
from models.scorer import Scorer
from tests.app.calls import Client
from tests.app.store.events import append, decision, key, label
from tests.command_line import Cli

NEW = "20260301T000000Z-0badcafe"
FIRST = 20_000 * DAY
#: Scores as answered and by the challenger; above .9 is an alert for both, the challenger's own threshold is .8.
SCORES = [(0.95, 0.1), (0.94, 0.97), (0.1, 0.96), (0.2, 0.93), (0.3, 0.85), (0.5, 0.4), (0.4, 0.3), (0.92, 0.6)]
FRAUD = {"t2": "b", "t3": "b", "t0": "a", "t1": "c"}  # and whose card


@pytest.fixture
def app(tiny_scorer: Scorer, own_store: str, tmp_path: Path) -> Iterator[FastAPI]:
    settings = Settings(
        artifacts=tiny_scorer.bundle.path.parent, database_url=own_store, shadow_file=tmp_path / "shadow.db"
    )
    app = create_app(settings, tiny_scorer)
    fill(app.state.serving.ledger.recorder.store, tmp_path / "shadow.db")
    yield app
    app.state.serving.close()


def fill(store: Store, path: Path) -> None:
    """Two days of decisions, some labelled, and what a challenger made of them; the last is not looked at yet."""
    base = decision("x", threshold=0.9, model_version="v-old")
    rows = [
        replace(
            base,
            transaction_id=f"t{i}",
            keys=(key(FRAUD.get(f"t{i}", f"card-{i}")),),
            time=FIRST + i * 2 * DAY // (len(SCORES) - 1),
            score=old,
            decision="review" if old >= 0.9 else "approve",
        )
        for i, (old, _) in enumerate(SCORES)
    ]
    written = append(store, *rows, replace(base, transaction_id="later"))
    append(store, *(label(name) for name in FRAUD))
    with closing(Results(path, writes=True)) as results:
        results.add(
            NEW,
            [
                Shadowed(one.seq, row.time, 0, "v-old", old, int(old >= 0.9), new, int(new >= 0.8))
                for one, row, (old, new) in zip(written, rows, SCORES, strict=False)
            ],
            len(SCORES),
        )


def test_what_would_change(app: FastAPI, own_store: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Client(app).get(f"/v1/models/{NEW}/shadow")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["version"], told["against"], told["decisions"], told["skipped"]) == (NEW, ["v-old"], 8, 0)
    assert told["behind"] == 1 + len(FRAUD)
    assert told["table"] == [[2, 3, 0], [2, 1, 0], [0, 0, 0]]
    assert told["days"] == pytest.approx(2, abs=1e-6)
    assert (told["alerts_per_day"], told["own_alerts_per_day"]) == (pytest.approx(1.5), pytest.approx(2))
    # Three alerts each: t0 t1 t7 were answered, t1 t2 t3 are the challenger's.
    assert told["others_per_day"] == pytest.approx(1)
    assert (told["fraud"], told["fraud_found"], told["fraud_lost"]) == (4, 2, 1)
    assert (told["won"], told["lost"]) == (1, 1)  # t2 and t3 are of one card
    assert told["evidence"] < 1
    assert [one["transaction_id"] for one in told["changed"]] == ["t2", "t0", "t3", "t7", "t4"]
    assert told["changed"][0] | {"seq": 0} == {
        "transaction_id": "t2", "seq": 0, "old": "approve", "new": "review", "old_score": 0.1, "new_score": 0.96,
    }  # fmt: skip
    assert "of 4 labelled fraud it alone finds 2 and misses 1" in told["text"]
    monkeypatch.setenv("COUNTERFOIL_SHADOW_FILE", str(cli.folder / "shadow.db"))
    done = cli("models", "shadow", NEW, "--database", own_store)
    assert done.code == 0 and told["text"] in " ".join(done.out.split())
    assert "t2           approve → review" in done.out


def test_who_shadows_nothing_is_told_so(app: FastAPI, cli: Cli, own_store: str, tmp_path: Path) -> None:
    assert Client(app).get(f"/v1/models/{NEW}x/shadow").status_code == 404
    (tmp_path / "shadow.db").unlink()
    assert Client(app).get(f"/v1/models/{NEW}/shadow").status_code == 404
    done = cli("models", "shadow", NEW, "--database", own_store)
    assert done.code == 2 and "nothing is shadowed here" in done.err
