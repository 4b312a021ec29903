"""Features by way of the disk, in groups of any size, against one replay of all rows in the order of time."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.behaviour.events import Behaviour
from models.behaviour.replay import replay
from models.behaviour.spill import FeatureSpill
from models.behaviour.state_fork import StateFork
from models.rows import AT_ONCE, ParsedRows
from models.schema import TransactionSchema
from tests.models.behaviour.streams import CARD, MERCHANT, Payment, columns_of, payments, schema_of


def _parsed(schema: TransactionSchema, rows: list[Payment], told: bool) -> ParsedRows:
    frame = pl.DataFrame([payment.row() for payment in rows], infer_schema_length=None)
    return ParsedRows(
        good=np.ones(len(rows), bool),
        numeric=frame.select(schema.sent_numeric).to_numpy().astype(float),
        text=tuple(frame[name] if name in frame else pl.Series([""] * len(rows)) for name in schema.categorical),
        entity={name: frame[name] for name in schema.entities},
        time=frame["timestamp"].to_numpy(),
        label=np.array([payment.fraud for payment in rows], np.int8),
        errors=(),
        known=np.array([p.time + p.known if p.known else AT_ONCE for p in rows], np.int64) if told else None,
    )


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=payments(),
    earlier=st.one_of(st.just([]), payments(10)),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    group_rows=st.integers(1, 50),
    told=st.booleans(),
)
def test_any_chunks_and_groups_give_the_features_of_one_replay(
    rows: list[Payment], earlier: list[Payment], cuts: list[int], group_rows: int, told: bool, tmp_path: Path
) -> None:
    schema = schema_of(card=CARD, merchant=MERCHANT)
    behaviour = Behaviour(schema)
    earlier = sorted(earlier, key=lambda payment: payment.time)
    states = replay(behaviour, columns_of(behaviour, schema, earlier), keep=True).states if earlier else {}
    fork = StateFork(behaviour, (lambda keys: states) if earlier else None)
    whole = _parsed(schema, rows, told)
    order = np.argsort(whole.time, kind="stable")
    kept, features = fork.take(whole.take(order))
    expected, late = np.full((len(rows), behaviour.width), np.nan), np.ones(len(rows), bool)
    expected[order[kept.good]], late[order[kept.good]] = features, False
    parts = np.split(np.arange(len(rows)), sorted(cut % (len(rows) + 1) for cut in cuts))
    with FeatureSpill(behaviour, tmp_path, group_rows=group_rows) as spill:
        for part in parts:
            spill.add(len(part), fork.events(whole.take(part)))
        done: list[int] = []
        spill.run(fork.lookup, threads=2, told=lambda some, of: done.append(of - some))
        found = [spill.chunk(number) for number in range(len(parts))]
    assert done[-1] == 0
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(np.concatenate([one for one, _ in found]), late)
    found_features = np.concatenate([one for _, one in found])
    np.testing.assert_array_equal(found_features[~late], expected[~late])


def test_a_full_disk_is_told_and_nothing_stays(tmp_path: Path) -> None:
    schema = schema_of(card=CARD)
    behaviour = Behaviour(schema)
    rows = [Payment("a", "x", "DE", 1_767_225_600_000_000 + i, 100, None) for i in range(100)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with FeatureSpill(behaviour, tmp_path) as spill:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, limits[1]))
        try:
            with pytest.raises(OSError, match="wait there in temporary files") as told:
                spill.add(len(rows), columns_of(behaviour, schema, rows))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.value.filename == str(tmp_path)
    assert list(tmp_path.iterdir()) == []
