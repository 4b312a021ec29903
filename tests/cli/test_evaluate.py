"""``counterfoil evaluate``: labels are needed."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tests.command_line import Cli, refused


def test_evaluate_needs_labels(cli: Cli, model: Path, tiny_frame: pl.DataFrame) -> None:
    tiny_frame.drop("is_fraud").write_parquet(cli.folder / "t.parquet")
    refused(cli("evaluate", "t.parquet"), "error: t.parquet: missing column is_fraud; the table has 13: ")
