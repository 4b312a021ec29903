"""The transaction to try a service with."""

from __future__ import annotations

from app.requests.example import example_transaction
from models.scorer import Scorer


def test_another_models_example_is_another_transaction(tiny_scorer: Scorer) -> None:
    golden = tiny_scorer.bundle.golden
    one = example_transaction(tiny_scorer.schema, tiny_scorer.vocabulary, golden)
    assert one == example_transaction(tiny_scorer.schema, tiny_scorer.vocabulary, golden)
    later = golden.model_copy(update={"time": [moment + 60_000_000 for moment in golden.time]})
    other = example_transaction(tiny_scorer.schema, tiny_scorer.vocabulary, later)
    assert one["transaction_id"] != other["transaction_id"]
    assert {**one, "transaction_id": "", "timestamp": ""} == {**other, "transaction_id": "", "timestamp": ""}
