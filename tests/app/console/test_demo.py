"""A console with something in it."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from app.console.demo import record_demo
from app.settings import Settings
from app.store.records import LabelEvent
from app.store.sql import cases
from models.errors import InvalidInput
from tests.app.console.conftest import Office, opened
from tests.app.traffic import Payments


def test_a_files_payments_become_alerts_in_an_empty_store_only(payments: Payments, tmp_path: Path) -> None:
    rows = 150
    frame = payments.frame.head(rows)
    times = frame["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    frame.with_columns(times.alias("timestamp")).write_csv(tmp_path / "week.csv")
    settings = Settings(artifacts=payments.artifacts, database_url=f"sqlite:///{tmp_path / 'log.db'}")
    told: list[tuple[int, int]] = []
    done = record_demo(settings, payments.scorer, tmp_path / "week.csv", lambda *done: told.append(done))
    assert told[-1] == (rows, rows)
    office = Office(opened(payments, tmp_path), tmp_path)
    assert sum(case.hits for case in office.queue()) == done.waiting > 0
    assert re.search(r'<td class="why">[A-Z]', office.local().get("").text)
    decided = office.desk.read(lambda connection: cases.decided(connection, 0))
    assert sum(case.hits for case in decided) == done.decided > 0
    assert {case.decided_by for case in decided} == {"demo"}
    fraud = set(frame.filter(pl.col("is_fraud") == 1)["transaction_id"].head(round(0.6 * rows)))
    log = office.app.state.serving.ledger.recorder.store.log()
    labels = {one.transaction_id: one.label for one in log if isinstance(one, LabelEvent)}
    assert {name for name, label in labels.items() if label == "fraud"} == fraud
    assert "legitimate" in labels.values()
    overview = office.local().get("/overview").text
    assert re.search(r'Fraud among them</h2><p class="big">\d+ %', overview)
    office.app.state.serving.close()
    with pytest.raises(InvalidInput, match="holds recorded payments"):
        record_demo(settings, payments.scorer, tmp_path / "week.csv", lambda *_: None)
