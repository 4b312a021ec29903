"""Whether a model version can take over in a running service: what is stored, and what callers send, must stay."""

from __future__ import annotations

from typing import Any

from app.generation import Generation
from models.errors import InvalidInput
from models.schema import TransactionSchema

#: What a column of another version may differ in: what callers send and what is stored stay as they are.
_FREE = {"description", "unit", "transform", "cycles"}


def require_fit(now: Generation, then: Generation) -> None:
    """Check that a version goes on where the one that serves leaves off.

    Raises:
        InvalidInput: it does not; says what differs and what to do instead.
    """
    if now.pseudonyms.fingerprint != then.pseudonyms.fingerprint or now.schema.hashed != then.schema.hashed:
        raise _other("stores ids under other pseudonyms")
    if now.engine.behaviour.spec != then.engine.behaviour.spec:
        raise _other("has other [entity] sections, or reads amount and time from other columns")
    mine, others = _inputs(now.schema), _inputs(then.schema)
    if list(mine) != list(others):
        differ = sorted(mine.keys() ^ others.keys()) or ["their order"]
        raise _other(f"has other columns ({', '.join(differ[:5])}{', …' if len(differ) > 5 else ''})")
    for name, column in mine.items():
        if column != others[name]:
            raise _other(f"reads column {name} in another way")


def require_recorded(now: TransactionSchema, then: TransactionSchema) -> None:
    """Check that a version can decide what is recorded under the schema of the one that serves.

    Raises:
        InvalidInput: it reads a column that is not there, or reads it in another way.
    """
    mine = _inputs(now)
    for name, column in _inputs(then).items():
        if column != mine.get(name):
            what = f"has no column {name}" if name not in mine else f"reads column {name} in another way"
            raise InvalidInput(f"it cannot decide what is recorded: the version that serves {what}")


def _inputs(schema: TransactionSchema) -> dict[str, dict[str, Any]]:
    return {name: schema.columns[name].model_dump(exclude=_FREE) for name in schema.inputs}


def _other(what: str) -> InvalidInput:
    return InvalidInput(
        f"it {what}, so it cannot take over while the service runs: start a second service with it, on a store of its "
        "own and another port, move the proxy, then stop this one"
    )
