"""Answers to what is no transaction of the schema that serves: that given before, if recorded under another schema.

A caller whose answer was lost sends the same again. A model version with another column may have come in between.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.generation import Generation
from app.recording.answers import Answer
from app.recording.ledger import Ledger
from app.refusals import Refusal
from app.requests.sameness import Unreadable
from app.store.errors import StoreUnavailable


async def given_before(
    generation: Generation, ledger: Ledger, unreadable: Sequence[Unreadable | None], refusals: Sequence[Refusal]
) -> list[Answer | Refusal]:
    """What each is told: the stored answer, that another transaction is recorded under its name, or why it was refused.

    Args:
        unreadable: None where nothing could be recorded under what was sent.
        refusals: why each is no transaction.

    Raises:
        StoreUnavailable: the log cannot be read, and nothing is to be answered without it.
    """
    names = [name for one in unreadable if one is not None for name in one.names]
    try:
        known = await ledger.known(names) if names else {}
    except StoreUnavailable:
        if ledger.on_failure == "refuse":
            raise
        known = {}
    answers: list[Answer | Refusal] = []
    for one, refusal in zip(unreadable, refusals, strict=True):
        stored = {} if one is None else {name: known[name] for name in one.names if name in known}
        same = {} if one is None else {name: one.same(decision) for name, decision in stored.items()}
        if not stored or None in same.values():
            answers.append(refusal)
        else:
            others = [name for name, is_same in same.items() if not is_same]
            answers.append(generation.engine.again(next(iter(stored.values())).reply, others))
    return answers
