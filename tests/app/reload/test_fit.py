"""Which versions may take over from one another in a running service."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.generation import Generation
from app.pseudonyms import Pseudonyms
from app.recording.engine import Engine
from app.reload.fit import require_fit
from app.settings import Settings
from models.errors import InvalidInput
from models.schema import TransactionSchema
from tests.app.traffic import Payments


def under(now: Generation, schema: TransactionSchema) -> Generation:
    """The same model with another declaration."""
    schema = schema.checked()
    return replace(now, schema=schema, engine=Engine(now.scorer.with_schema(schema)))


def declared(now: Generation, name: str, **changes: Any) -> Generation:
    """One column in another way."""
    columns = {**now.schema.columns, name: now.schema.columns[name].model_copy(update=changes)}
    return under(now, now.schema.model_copy(update={"columns": columns}))


@pytest.fixture(scope="module")
def now(payments: Payments) -> Generation:
    return Generation.of(Settings(), payments.scorer)


def test_what_is_not_sent_and_not_stored_may_differ(now: Generation) -> None:
    require_fit(now, now)
    require_fit(now, declared(now, "timestamp", cycles=("hour",), description="in other words"))
    require_fit(now, declared(now, "amount", transform="none", unit="EUR"))
    require_fit(now, declared(now, "is_fraud", fraud=("yes",)))


def test_other_inputs_are_refused_with_the_way(now: Generation) -> None:
    fewer = {name: column for name, column in now.schema.columns.items() if name != "category"}
    with pytest.raises(InvalidInput, match=r"has other columns \(category\).*start a second service.*move the proxy"):
        require_fit(now, under(now, now.schema.model_copy(update={"columns": fewer})))
    turned = dict(reversed(now.schema.columns.items()))
    with pytest.raises(InvalidInput, match="their order"):
        require_fit(now, under(now, now.schema.model_copy(update={"columns": turned})))
    changes: tuple[tuple[str, dict[str, Any]], ...] = (
        ("category", {"max_length": 3}),
        ("channel", {"nullable": True}),
    )
    for name, change in changes:
        with pytest.raises(InvalidInput, match=f"reads column {name} in another way"):
            require_fit(now, declared(now, name, **change))


def test_other_states_and_other_ids_are_refused(now: Generation) -> None:
    with pytest.raises(InvalidInput, match=r"other \[entity\] sections"):
        require_fit(now, under(now, now.schema.model_copy(update={"entity": {}})))
    with pytest.raises(InvalidInput, match="reads amount and time"):
        require_fit(now, declared(now, "amount", minor_digits=0))
    with pytest.raises(InvalidInput, match="other pseudonyms"):
        require_fit(now, replace(now, pseudonyms=Pseudonyms(("card_id",), bytes(range(32)))))
