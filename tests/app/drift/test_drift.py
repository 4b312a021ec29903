"""Drift as service and command line tell it: alerts a day, the feature that makes them, one that is gone."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.drift.days import Days
from app.drift.reply import drift_reply
from app.drift.watcher import DriftWatcher
from app.service import create_app
from app.settings import Settings
from app.store.contract import Store
from app.store.open import open_store
from models.drift import Promise
from models.forms.time_patterns import DAY
from models.registry import Registry
from models.rethreshold import rethreshold
from models.rows import FRAUD, Batch
from models.scorer import Scorer
from models.thresholds import Policy
from tests.app.calls import Client
from tests.app.store.events import append, decision
from tests.command_line import Cli
from training.read import History

FIRST = 20_000  # day of the first decision
A_DAY = 120
#: Has no version that is like another.
NONE = Registry(Path("nowhere"))


@pytest.fixture
def store(own_store: str) -> Iterator[Store]:
    found = open_store(own_store)
    yield found
    found.close()


@pytest.fixture(scope="module")
def usual(tiny_scorer: Scorer, tiny_history: History) -> Batch:
    """Legitimate rows of the training."""
    return tiny_history.take(tiny_history.label != FRAUD).batch(tiny_scorer.vocabulary)


def record(store: Store, scorer: Scorer, batch: Batch, days: int, *, first: int = FIRST, arrived: int = 2**50) -> None:
    """So many days of decisions on these rows, over and over again, by this version."""
    threshold = scorer.manifest.threshold
    scores = scorer.score(batch)
    for day in range(first, first + days):
        events = []
        for number in range(A_DAY):
            row = ((day - first) * A_DAY + number) % len(batch)
            events.append(
                decision(
                    f"{day}-{number}",
                    time=day * DAY + number,
                    arrived_at=arrived + (day - first) * DAY + number,
                    features=batch.to_bytes(row),
                    score=float(scores.score[row]),
                    threshold=threshold.score,
                    decision="review" if scores.is_anomaly[row] else "approve",
                    model_version=scorer.manifest.version,
                )
            )
        append(store, *events)


def recent() -> int:
    """Days ago, so that the log is looked at."""
    return time.time_ns() // 1_000 - 60 * DAY


def test_usual_days_are_no_drift(store: Store, tiny_scorer: Scorer, usual: Batch) -> None:
    record(store, tiny_scorer, usual, 12, arrived=recent())
    days = Days.of(tiny_scorer.manifest, NONE)
    days.read(store)
    reply = drift_reply(tiny_scorer, days)
    assert (reply.alarm, reply.gone, reply.days) == (None, [], 11)  # the last day is not over
    assert reply.transactions_per_day == A_DAY
    assert reply.promised_low < reply.alerts_per_day < reply.promised_high
    assert f"promised {reply.promised_low:.1f}" in reply.text


def test_a_shifted_amount_is_named_and_its_alerts_are_told(store: Store, tiny_scorer: Scorer, usual: Batch) -> None:
    numeric = usual.numeric.copy()
    amount = tiny_scorer.schema.numeric.index("amount")
    numeric[:, amount] *= 40
    record(store, tiny_scorer, Batch(numeric, usual.categorical, usual.time), 30, arrived=recent())
    days = Days.of(tiny_scorer.manifest, NONE)
    days.read(store)
    reply = drift_reply(tiny_scorer, days)
    assert reply.alarm == "above" and reply.alerts_per_day > 2 * reply.promised_high
    assert reply.features[0].feature == "amount"
    explained = reply.features[0].alerts_per_day
    assert explained == pytest.approx(reply.alerts_per_day - reply.promised_high, rel=0.5)
    assert f"amount alone would explain {explained:+.0f}" in reply.text and "Alarm: more" in reply.text


def test_a_feature_that_goes_missing_is_noticed_within_the_hour(
    store: Store, tiny_scorer: Scorer, usual: Batch
) -> None:
    record(store, tiny_scorer, usual, 2, arrived=recent())
    numeric, categorical = usual.numeric.copy(), usual.categorical.copy()
    numeric[:, tiny_scorer.schema.numeric.index("account_age_days")] = np.nan
    numeric[:, tiny_scorer.schema.numeric.index("amount")] = 9.99
    categorical[:, tiny_scorer.schema.categorical.index("channel")] = 0
    gone = Batch(numeric, categorical, usual.time)
    # Less than an hour of it, after days without.
    record(store, tiny_scorer, gone, 1, first=FIRST + 2, arrived=recent() + 2 * DAY)
    days = Days.of(tiny_scorer.manifest, NONE)
    days.read(store)
    found = {one.feature: one.how for one in drift_reply(tiny_scorer, days, explain=False).gone}
    assert found == {"account_age_days": "missing", "amount": "stuck", "channel": "unknown"}


def test_only_what_is_new_is_read_and_another_version_begins_anew(
    store: Store, tiny_scorer: Scorer, usual: Batch
) -> None:
    record(store, tiny_scorer, usual, 2, arrived=recent())
    days = Days.of(tiny_scorer.manifest, NONE)
    days.read(store)
    before = dict(days.rows)
    days.read(store)
    assert days.rows == before
    record(store, tiny_scorer, usual, 1, first=FIRST + 2, arrived=recent() + 2 * DAY)
    days.read(store)
    assert days.rows == before | {FIRST + 2: A_DAY}
    other = Days.of(tiny_scorer.manifest.model_copy(update={"version": "20260101T000000Z-00000000"}), NONE)
    other.read(store)
    assert not other.rows and drift_reply(tiny_scorer, replace(other)).text.startswith("No whole day")


def test_another_threshold_goes_on_and_each_day_has_the_promise_of_its_own(
    store: Store, tiny_scorer: Scorer, usual: Batch, tmp_path: Path
) -> None:
    shutil.copytree(tiny_scorer.bundle.path, tmp_path / tiny_scorer.manifest.version)
    registry = Registry(tmp_path)
    folder = registry.folder(tiny_scorer.manifest.version)
    made, folder = rethreshold(folder, registry, Policy(name="alert-rate", value=0.2))
    other = Scorer.load(folder)
    record(store, tiny_scorer, usual, 5, arrived=recent())
    record(store, other, usual, 6, first=FIRST + 5, arrived=recent() + 5 * DAY)
    days = Days.of(other.manifest, registry)
    days.read(store)
    assert days.whole() == list(range(FIRST, FIRST + 10))
    promises = [Promise.of(one.manifest) for one in (tiny_scorer, other)]
    assert days.high[FIRST] == pytest.approx(A_DAY * promises[0].high)
    assert days.low[FIRST + 9] == pytest.approx(A_DAY * promises[1].low)
    reply = drift_reply(other, days, explain=False)
    assert (reply.model_version, reply.days, reply.alarm) == (made.version, 10, None)
    assert reply.promised_low == pytest.approx(A_DAY * (2 * promises[0].low + 5 * promises[1].low) / 7)
    newest = usual.to_bytes((6 * A_DAY - 1) % len(usual))
    assert days.recent[-1][1] == newest and len(days.recent) == 11 * A_DAY


def test_the_api_and_the_command_tell_the_same(
    own_store: str, tiny_scorer: Scorer, usual: Batch, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(artifacts=tiny_scorer.bundle.path.parent, database_url=own_store)
    app = create_app(settings, tiny_scorer)
    try:
        record(app.state.serving.ledger.recorder.store, tiny_scorer, usual, 4, arrived=recent())
        answer = Client(app).get("/v1/drift")
        assert answer.status_code == 200
        looked = DriftWatcher(app.state.serving, NONE).look()
        assert looked is not None and looked.evidence_above == answer.json()["evidence_above"]
    finally:
        app.state.serving.close()
    done = cli("drift", "--json", "--database", own_store, "--artifacts", tiny_scorer.bundle.path.parent)
    assert done.code == 0 and json.loads(done.out) == answer.json()
    done = cli("drift", "--database", own_store, "--artifacts", tiny_scorer.bundle.path.parent)
    assert answer.json()["text"] in done.out
