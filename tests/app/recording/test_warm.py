"""History loaded into an empty store, and tables scored on from the states of the service."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from app.recording.startup import live_states, snapshot_of
from app.recording.warm import warm
from app.settings import Settings
from app.store.open import open_store
from app.store.records import Decision
from models.batch import score_table
from models.behaviour.events import Behaviour
from models.behaviour.replay import replay
from models.behaviour.state_fork import StateFork
from models.errors import InvalidInput
from models.rows import Batch
from models.scorer import Scorer
from models.state_files import COLUMNS
from models.strict_tables import checked_rows
from tests.app.records import sent, till
from tests.app.traffic import Payments
from tests.command_line import Cli, refused


@pytest.fixture
def later(payments: Payments, tmp_path: Path) -> Path:
    """The payments of the two days after the training."""
    path = tmp_path / "later.parquet"
    payments.frame.filter(pl.col("timestamp").dt.date() < date(2026, 1, 11)).write_parquet(path)
    return path


def test_a_warmed_service_answers_as_one_that_has_seen_the_history(
    payments: Payments, later: Path, own_store: str, tmp_path: Path
) -> None:
    rows = sent(payments, pl.read_parquet(later).height + 20)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    loaded = warm(Settings(database_url=own_store), payments.scorer, [later])
    assert (loaded.rows, loaded.onto_snapshot) == (len(rows) - 20, True)
    with till(payments, own_store) as one, till(payments, other) as seen:
        for row in rows[:-20]:
            seen.reply(row)
        assert [one.reply(row) for row in rows[-20:]] == [seen.reply(row) for row in rows[-20:]]
    with pytest.raises(InvalidInput, match="recorded 20 events"):
        warm(Settings(database_url=own_store), payments.scorer, [later])


def test_a_row_of_a_wrong_year_blocks_nobody(payments: Payments, later: Path, own_store: str, tmp_path: Path) -> None:
    frame = pl.read_parquet(later)
    rows = sent(payments, frame.height + 20)
    card = json.loads(rows[-1])["card_id"]
    wrong = frame[-1:].with_columns(pl.col("timestamp").dt.offset_by("36y"), card_id=pl.lit(card))
    source = tmp_path / "wrong.parquet"
    pl.concat([frame, wrong]).write_parquet(source)
    loaded = warm(Settings(database_url=own_store), payments.scorer, [source])
    assert (loaded.rows, loaded.ahead) == (frame.height, 1)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    assert warm(Settings(database_url=other), payments.scorer, [later]).ahead == 0
    with till(payments, own_store) as one, till(payments, other) as right:
        assert [one.reply(row) for row in rows[-20:]] == [right.reply(row) for row in rows[-20:]]
    wrong.write_parquet(source)
    with pytest.raises(InvalidInput, match="all 1 rows are later than this machine's clock"):
        warm(Settings(database_url=f"sqlite:///{tmp_path / 'third.db'}"), payments.scorer, [source])


def test_a_store_that_holds_a_wrong_year_is_mended_by_a_purge(
    payments: Payments, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine leaves it whose clock was ahead when the store was warmed."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    row = json.loads(sent(payments, 1)[0])
    source = tmp_path / "wrong.parquet"
    payments.frame[:1].with_columns(pl.col("timestamp").dt.offset_by("36y")).write_parquet(source)
    with monkeypatch.context() as ahead:
        ahead.setattr("models.clock.TOLERANCE", 40 * 366 * 86_400)
        warm(Settings(database_url=url), payments.scorer, [source])
    at = ("--artifacts", payments.artifacts, "--database", url)
    table = tmp_path / "row.parquet"
    payments.frame[:1].write_parquet(table)
    record = ("score", table, "--out", tmp_path / "scored.parquet", "--state", "live", "--record", *at)
    assert "before the newest transaction of the same card" in cli(*record).err
    assert cli("purge", "--card", row["card_id"], *at).code == 0
    assert "before the newest transaction of the same merchant" in cli(*record).err
    assert cli("purge", "--entity", f"merchant={row['merchant_id']}", *at).code == 0
    assert cli(*record).code == 0


def test_rows_from_before_the_snapshot_replace_it(payments: Payments, own_store: str) -> None:
    loaded = warm(Settings(database_url=own_store), payments.scorer, [payments.artifacts.parent / "history.parquet"])
    assert not loaded.onto_snapshot
    snapshot = snapshot_of(payments.scorer)
    assert snapshot is not None and loaded.entities == len(snapshot.states)


def test_a_model_without_behaviour_cannot_be_warmed(tiny_scorer: Scorer, own_store: str, tiny_csv: Path) -> None:
    with pytest.raises(InvalidInput, match="no behaviour features"):
        warm(Settings(database_url=own_store), tiny_scorer, [tiny_csv])


def scores(payments: Payments, source: Path, output: Path, fork: StateFork) -> pl.DataFrame:
    score_table(payments.scorer, source, output, fork=fork)
    return pl.read_parquet(output)


def test_a_table_goes_on_from_the_live_states_and_leaves_them_alone(
    payments: Payments, later: Path, own_store: str, tmp_path: Path
) -> None:
    behaviour = Behaviour(payments.schema)
    known = pl.read_parquet(later).height
    rows = sent(payments, known + 300)
    source = tmp_path / "next.parquet"
    payments.frame[known : known + 300].drop("is_fraud").sample(fraction=1, shuffle=True, seed=1).write_parquet(source)
    with till(payments, own_store) as one:
        for row in rows[:known]:
            one.reply(row)
        store = open_store(own_store, read_only=True)  # beside the service
        lookup = live_states(store, payments.schema)
        table = scores(payments, source, tmp_path / "live.parquet", StateFork(behaviour, lookup))
        assert store.last_seq() == known
        store.close()
        served = {reply["transaction_id"]: reply["score"] for reply in (one.reply(row) for row in rows[known:])}
    assert dict(zip(table["transaction_id"], table["score"], strict=True)) == pytest.approx(served, abs=1e-8)
    fresh = scores(payments, source, tmp_path / "empty.parquet", StateFork(behaviour, lambda _: {}))
    assert not np.array_equal(fresh["score"], table["score"])


def test_rows_too_old_for_the_states_are_told_by_line(payments: Payments, tmp_path: Path, cli: Cli) -> None:
    frame = payments.frame.head(5).drop("is_fraud").with_row_index()
    old = pl.when(pl.col("index") == 3).then(pl.col("timestamp").dt.offset_by("-9d")).otherwise(pl.col("timestamp"))
    source = tmp_path / "old.parquet"
    frame.with_columns(old.alias("timestamp")).drop("index").write_parquet(source)
    snapshot = snapshot_of(payments.scorer)
    assert snapshot is not None
    fork = StateFork(Behaviour(payments.schema), lambda _: snapshot.states)
    with pytest.raises(InvalidInput, match=r"row 4: timestamp: more than 3 days before"):
        score_table(payments.scorer, source, tmp_path / "out.parquet", fork=fork)
    report = score_table(
        payments.scorer, source, tmp_path / "out.parquet", on_error="reject",
        fork=StateFork(Behaviour(payments.schema), lambda _: snapshot.states),
    )  # fmt: skip
    assert (report.rows, report.rejected) == (4, 1)


def test_a_table_without_one_good_row_is_told_row_by_row(payments: Payments, tmp_path: Path) -> None:
    source = tmp_path / "bad.parquet"
    payments.frame.head(3).drop("is_fraud").with_columns(card_id=pl.lit("4111111111111111")).write_parquet(source)
    fork = StateFork(Behaviour(payments.schema), lambda _: {})
    report = score_table(payments.scorer, source, tmp_path / "out.parquet", on_error="reject", fork=fork)
    assert (report.rows, report.rejected) == (0, 3)


def test_a_recorded_table_is_as_if_its_rows_had_been_sent(
    payments: Payments, later: Path, own_store: str, tmp_path: Path, cli: Cli
) -> None:
    shuffled = tmp_path / "shuffled.csv"
    text = pl.read_parquet(later).drop("is_fraud").sample(fraction=1, shuffle=True, seed=1)
    text.write_csv(shuffled, datetime_format="%Y-%m-%dT%H:%M:%S%.3fZ")
    where = ("--artifacts", str(payments.artifacts), "--database", own_store)
    arguments = ("score", str(shuffled), "--state", "live", "--record", *where)
    assert cli(*arguments, "--out", "a.csv", "--reasons", "1").code == 0
    assert cli(*arguments, "--out", "b.csv", "--reasons", "1").code == 0  # the same again
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    other = f"sqlite:///{tmp_path / 'other.db'}"
    with till(payments, other) as one:
        sent_one_by_one = {r["transaction_id"]: r["score"] for r in map(one.reply, sent(payments, text.height))}
    table = pl.read_csv(tmp_path / "a.csv")
    assert dict(zip(table["transaction_id"], table["score"], strict=True)) == sent_one_by_one
    assert cli("replay", "--since", "1h", *where).code == 0
    assert cli("score", str(shuffled), "--record", "--out", "c.csv", *where).code == 2


def test_features_recorded_are_those_of_the_detector(payments: Payments, own_store: str) -> None:
    with till(payments, own_store) as one:
        reply = one.reply(sent(payments, 1)[0])
        decision = one.recorder.store.find(reply["transaction_id"])
    assert isinstance(decision, Decision)
    batch = Batch.from_bytes(decision.features, len(payments.schema.numeric))
    assert payments.scorer.score(batch).score[0] == reply["score"] == json.loads(decision.reply)["score"]


def _write_states(payments: Payments, source: Path, folder: Path) -> None:
    """The states after a table's rows, in two files, as a job on a cluster leaves them."""
    behaviour, snapshot = Behaviour(payments.schema), snapshot_of(payments.scorer)
    assert snapshot is not None
    rows = checked_rows(payments.schema, [source])
    events = behaviour.of_columns(rows.time, rows.numeric, rows.text, rows.entity, rows.fraud, rows.known)
    states = {**snapshot.states, **replay(behaviour, events, before=snapshot.states.get, keep=True).states}
    told = [(behaviour.spec, *key, state.tobytes()) for key, state in states.items()]
    table = pl.DataFrame(told, schema=COLUMNS, orient="row")
    folder.mkdir()
    table[::2].write_parquet(folder / "part-1.parquet")
    table[1::2].write_parquet(folder / "part-0.parquet")


def test_a_service_starts_from_the_states_of_a_cluster(
    payments: Payments, later: Path, own_store: str, tmp_path: Path, cli: Cli
) -> None:
    rows = sent(payments, pl.read_parquet(later).height + 20)
    _write_states(payments, later, tmp_path / "states")
    other = f"sqlite:///{tmp_path / 'other.db'}"
    warm(Settings(database_url=other), payments.scorer, [later])
    at = ("--artifacts", payments.artifacts, "--database", own_store)
    done = cli("warm", "--states", tmp_path / "states", *at)
    assert "cards, merchants and others known, in place of the model's own snapshot" in done.out
    with till(payments, own_store) as one, till(payments, other) as seen:
        assert [one.reply(row) for row in rows[-20:]] == [seen.reply(row) for row in rows[-20:]]
    refused(cli("warm", "--states", tmp_path / "states", *at), "error: the store has recorded 20 events")


def test_states_of_something_else_are_refused(payments: Payments, later: Path, tmp_path: Path, cli: Cli) -> None:
    folder, at = (
        tmp_path / "states",
        ("--artifacts", payments.artifacts, "--database", f"sqlite:///{tmp_path / 's.db'}"),
    )
    refused(cli("warm", *at), "error: say what to load")
    folder_of_none = tmp_path / "none"
    folder_of_none.mkdir()
    refused(cli("warm", "--states", folder_of_none, *at), f"error: {folder_of_none}: no Parquet files of states")
    _write_states(payments, later, folder)
    table = pl.read_parquet(folder / "part-1.parquet")
    for changed, message in (
        (table.with_columns(spec=pl.lit("another")), "made under other [entity] sections"),
        (table.with_columns(entity=pl.lit("nobody")), "a state is not one of this declaration"),
        (table.with_columns(state=pl.lit(b"12345")), "a state is not one of this declaration"),
        (table.with_columns(state=pl.lit(bytes(4_096))), "a state is not one of this declaration"),
        (table.drop("spec"), "expected columns spec, entity, key, state of states"),
    ):
        changed.write_parquet(folder / "part-1.parquet")
        refused(cli("warm", "--states", folder, *at), f"error: {folder / 'part-1.parquet'}: {message}")
    (folder / "part-1.parquet").write_bytes(b"PAR1 and no more")
    refused(cli("warm", "--states", folder, *at), f"error: {folder / 'part-1.parquet'}: not a readable Parquet file")
    assert not (tmp_path / "s.db").exists()
