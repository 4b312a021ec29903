"""What was recorded of some values of a column: what a list with them would have hit."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pydantic_core import from_json

from app.decisions.export import pages
from app.rules.backtest import Tally
from app.rules.replies import told
from app.store.contract import Store
from app.store.query import Filter
from models.behaviour.keys import key_digest
from models.schema import TransactionSchema


@dataclass(frozen=True, slots=True)
class Hits:
    """What came of it.

    Attributes:
        values: asked for.
        tally: of the decisions that had one of them.
        looked_at: decisions, the latest; ``whole``: whether that is all of them.
    """

    values: int
    tally: Tally
    looked_at: int
    whole: bool


def hits_of(
    store: Store, schema: TransactionSchema, column: str, values: Collection[str], *, since: int, most: int
) -> Hits:
    """The decisions whose column has one of the values.

    Args:
        values: as the log keeps them.
        since: arrived then or later, microseconds since 1970 UTC.
        most: decisions that are looked at; where the column says whose they are, only those of the values are.
    """
    entity = next((name for name, behaviour in schema.entity.items() if behaviour.key == column), None)
    wanted = [Filter(since=since)]
    if entity is not None:
        wanted = [Filter(since=since, entities=((entity, key_digest(value)),)) for value in values]
    tally, looked_at = Tally(), 0
    for recorded in (one for every in wanted for page in pages(store, every) for one in page):
        if looked_at == most:
            return Hits(len(values), tally, looked_at, whole=False)
        looked_at += 1
        if from_json(recorded.decision.body).get(column) in values:
            tally.add(recorded, model=told(recorded.decision).model_decision != "approve")
    return Hits(len(values), tally, looked_at, whole=True)
