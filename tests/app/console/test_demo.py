"""A console with something in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.console.demo import record_demo
from app.settings import Settings
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
    alerts = record_demo(settings, payments.scorer, tmp_path / "week.csv", lambda *done: told.append(done))
    assert told[-1] == (rows, rows)
    office = Office(opened(payments, tmp_path), tmp_path)
    assert sum(case.hits for case in office.queue()) == alerts > 0
    assert "usually" in office.local().get("").text
    office.app.state.serving.close()
    with pytest.raises(InvalidInput, match="holds recorded payments"):
        record_demo(settings, payments.scorer, tmp_path / "week.csv", lambda *_: None)
