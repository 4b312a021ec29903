"""The graph: what is asked for alone is, to the bit, what the whole of it says."""

from __future__ import annotations

import numpy as np
import polars as pl

from models.parsing import parse_rows
from models.scorer import Scorer


def test_what_is_asked_for_alone_is_what_the_whole_graph_says(tiny_scorer: Scorer, tiny_frame: pl.DataFrame) -> None:
    batch = parse_rows(tiny_scorer.schema, tiny_frame).batch(tiny_scorer.vocabulary)
    for rows in (1, 5, 300):
        some = batch.take(slice(0, rows))
        alone, whole = tiny_scorer.score(some), tiny_scorer.score(some, explain=True)
        assert alone.expected.shape == (rows, 0)
        for name in ("error", "evidence", "score", "contributions"):
            np.testing.assert_array_equal(getattr(alone, name), getattr(whole, name))
        np.testing.assert_array_equal(tiny_scorer.graph.run(some, "expected")[0], whole.expected)
