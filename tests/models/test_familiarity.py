"""A category most of whose values training did not know is told, once, and no other."""

from __future__ import annotations

import numpy as np
import polars as pl

from models.familiarity import Familiarity
from models.parsing import parse_rows
from models.scorer import Scorer


def codes(scorer: Scorer, frame: pl.DataFrame) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return parse_rows(scorer.schema, frame).batch(scorer.vocabulary).categorical


def test_what_is_written_otherwise_is_told_once_whoever_comes_one_by_one(
    tiny_scorer: Scorer, tiny_frame: pl.DataFrame
) -> None:
    odd = tiny_frame.head(60).with_columns(pl.col("category") + ".0")
    familiarity = Familiarity(tiny_scorer.schema, tiny_scorer.vocabulary)
    told = []
    for row in codes(tiny_scorer, odd):
        familiarity.look(row[None])
        told.append(familiarity.news())
    assert [names for names in told if names] == [("category",)]
    assert told.index(("category",)) == 49


def test_what_is_new_now_and_then_is_not(tiny_scorer: Scorer, tiny_frame: pl.DataFrame) -> None:
    familiarity = Familiarity(tiny_scorer.schema, tiny_scorer.vocabulary)
    some = codes(tiny_scorer, tiny_frame.head(200))
    some[: len(some) // 3] = 0
    familiarity.look(some)
    assert familiarity.news() == ()


def test_a_change_is_noticed_after_long(tiny_scorer: Scorer, tiny_frame: pl.DataFrame) -> None:
    """What was long ago counts less."""
    familiarity = Familiarity(tiny_scorer.schema, tiny_scorer.vocabulary)
    known = codes(tiny_scorer, tiny_frame.head(1_000))
    for _ in range(1_000):
        familiarity.look(known)
    assert familiarity.news() == ()
    for _ in range(20):
        familiarity.look(np.zeros_like(known))
    assert "category" in familiarity.news()
