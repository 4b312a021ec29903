"""Rows to retrain on: each transaction once, with what is known of it; what is too young is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.errors import InvalidInput
from models.outcomes import OUTCOME
from models.rows import FRAUD, LEGITIMATE, UNKNOWN
from models.schema import TransactionSchema
from training.retrain.rows import Source, gather, matured_until

OUTCOMES = ["fraud", "legitimate", "disputed", None]


@pytest.fixture
def files(tiny_frame: pl.DataFrame, tmp_path: Path) -> tuple[Path, Path]:
    """A history of 600 rows, and a log of 500 that begins with the history's last 100."""
    history, recorded = tmp_path / "history.parquet", tmp_path / "recorded.parquet"
    tiny_frame.head(600).write_parquet(history)
    log = tiny_frame.slice(500, 500).drop("is_fraud", "fraud_scenario")
    told = pl.Series(OUTCOME, [OUTCOMES[row % 4] for row in range(500)], pl.String)
    log.with_columns(told, pl.lit(None, pl.Int8).alias("is_fraud")).write_parquet(recorded)
    return history, recorded


def test_a_transaction_counts_once_with_what_the_log_or_else_the_file_knows(
    tiny_schema: TransactionSchema, tiny_frame: pl.DataFrame, files: tuple[Path, Path]
) -> None:
    gathered = gather(tiny_schema, Source([files[0]], files[1], None, "0d"))
    history = gathered.history
    assert (gathered.from_files, gathered.from_log, len(history)) == (600, 500, 1_000)
    assert history.id is not None and history.id.n_unique() == 1_000
    np.testing.assert_array_equal(history.id.sort(), tiny_frame["transaction_id"].head(1_000).sort())
    where = {name: row for row, name in enumerate(history.id.to_list())}
    names, in_file = tiny_frame["transaction_id"].to_list(), tiny_frame["is_fraud"].to_list()
    both = [where[names[500 + row]] for row in range(4)]
    assert history.label[both[:3]].tolist() == [FRAUD, LEGITIMATE, UNKNOWN]
    assert history.label[both[3]] == in_file[503]  # the log knows nothing of it
    assert history.label[where[names[603]]] == UNKNOWN
    assert history.disputed is not None and history.disputed.sum() == 125
    assert not history.fitted[both[0]] and history.fitted[both[1]] and not history.fitted[both[2]]
    presumed = gathered.presumed()
    assert (presumed.label[history.fitted] == LEGITIMATE).all()
    assert (presumed.label[history.disputed] == UNKNOWN).all()
    assert gathered.counts["in a file and in the log, counted once"] == 100
    assert gathered.counts["left out: disputed (never fitted)"] == 125


def test_without_ids_the_file_ends_where_the_log_begins(
    tiny_schema: TransactionSchema, files: tuple[Path, Path], tiny_frame: pl.DataFrame
) -> None:
    columns = {name: column for name, column in tiny_schema.columns.items() if column.kind != "id"}
    nameless = tiny_schema.model_copy(update={"columns": columns}).checked()
    gathered = gather(nameless, Source([files[0]], files[1], None, "0d"))
    earlier = (tiny_frame["timestamp"].head(600) < tiny_frame["timestamp"][500]).sum()
    assert len(gathered.history) == earlier + 500


def test_rows_younger_than_the_label_delay_are_left_out_and_counted(
    tiny_schema: TransactionSchema, files: tuple[Path, Path], tiny_frame: pl.DataFrame
) -> None:
    now = tiny_frame["timestamp"][999].timestamp()
    until = matured_until(tiny_schema, "1d", now)
    assert until == round(now * 1e6) - 86_400_000_000
    gathered = gather(tiny_schema, Source([files[0]], files[1], until, "1d"))
    assert gathered.history.time.max() < until
    young = 1_000 - len(gathered.history)
    assert gathered.counts["left out: younger than 1d, the label is not known yet"] == young > 0
    with pytest.raises(InvalidInput, match=r"all 1,000 rows are younger than the label delay of 900d"):
        gather(tiny_schema, Source([files[0]], files[1], matured_until(tiny_schema, "900d", now), "900d"))


def test_nothing_to_retrain_on_and_no_times_are_refused(tiny_schema: TransactionSchema) -> None:
    with pytest.raises(InvalidInput, match="nothing is recorded, and no history was named"):
        gather(tiny_schema, Source([], None, None, "0d"))
    columns = {name: column for name, column in tiny_schema.columns.items() if column.kind != "timestamp"}
    timeless = tiny_schema.model_copy(update={"columns": columns}).checked()
    with pytest.raises(InvalidInput, match="has no timestamp column"):
        matured_until(timeless, "7d", 0.0)
