"""The service tells where what is sent is written otherwise than in training: in uploads and JSON alike."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from app.service import create_app
from app.settings import Settings
from models.scorer import Scorer
from tests.app.calls import Client, renewed

ODD = "training knew few of the values of category"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if ODD in record.getMessage()]


def test_an_upload(client: Client, tiny_csv: Path, caplog: pytest.LogCaptureFixture) -> None:
    csv = {"headers": {"content-type": "text/csv"}}
    with caplog.at_level(logging.WARNING, "counterfoil"):
        table = pl.read_csv(tiny_csv, infer_schema=False).head(100)
        client.post("/v1/score/csv", content=table.write_csv().encode(), **csv)
        assert not lines(caplog)
        odd = table.with_columns(pl.col("category") + ".0")
        client.post("/v1/score/csv", content=odd.write_csv().encode(), **csv)
    (line,) = lines(caplog)
    assert line.startswith("request ")


def test_json(
    tiny_scorer: Scorer, transaction: dict[str, Any], own_store: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Settings(database_url=own_store), tiny_scorer)
    try:
        with caplog.at_level(logging.WARNING, "app"):
            usual = [renewed(transaction) for _ in range(60)]
            Client(app).post("/v1/score/batch", json={"transactions": usual})
            assert not lines(caplog)
            odd = [renewed(transaction, category="5411.0") for _ in range(90)]
            assert Client(app).post("/v1/score/batch", json={"transactions": odd}).status_code == 200
            Client(app).post("/v1/score/batch", json={"transactions": [renewed(transaction, category="5411.0")]})
    finally:
        app.state.serving.close()
    assert len(lines(caplog)) == 1
