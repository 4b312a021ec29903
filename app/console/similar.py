"""Payments like one: of those whose label is known, the ones that differ least in what the model sees.

Each feature is compared by rank among these payments, so that no unit counts more than another: two that are next to
each other differ by almost nothing, the smallest and the largest by one. A category differs by one or not at all, and
so does a value that one of the two lacks. How alike two payments are is one minus the mean difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from app.console.facts import Facts
from app.console.visit import Visit
from app.problems import Refused
from app.store.contract import Store
from app.store.query import Filter, Recorded
from app.store.records import Decision, Label
from models.rows import Batch
from models.schema import TransactionSchema

#: Payments compared of each label, the latest; that are shown; and features named that differ most.
_EACH, SHOWN, _NAMED = 300, 8, 2
_LABELS: tuple[Label, ...] = ("fraud", "legitimate")


@dataclass(frozen=True, slots=True)
class Like:
    """A payment that is like another one.

    Attributes:
        alike: from 0 to 1.
        other: the features that differ most, if any does.
    """

    recorded: Recorded
    facts: Facts
    label: str
    alike: float
    other: list[str]


class Similar:
    """The page, and the same as a fragment of another one."""

    async def page(self, visit: Visit) -> Response:
        """The payments most like one."""
        seq, store, schema = visit.path_number("seq"), visit.ledger.recorder.store, visit.generation.schema
        decision = await visit.threaded(partial(decision_at, store, seq))
        found, compared = await visit.threaded(partial(_similar, store, decision, schema))
        template = "alike.html" if visit.request.headers.get("hx-request") else "similar.html"
        return await visit.page(
            template, found=found, compared=compared, each=_EACH, decision=decision, facts=Facts.of(decision, schema)
        )


def decision_at(store: Store, seq: int) -> Decision:
    """The payment at a place in the log.

    Raises:
        Refused: there is none.
    """
    found = store.page(Filter(), seq + 1, 1).decisions
    if not found or found[0].decision.seq != seq:
        raise Refused("not-found", "there is no such payment; it may have been erased")
    return found[0].decision


def _similar(store: Store, decision: Decision, schema: TransactionSchema) -> tuple[list[Like], int]:
    """The most alike, and how many were compared: of the same model version, of other cards."""
    known = [
        one
        for label in _LABELS
        for one in store.page(Filter(label=label, model_version=decision.model_version), None, _EACH).decisions
        if one.decision.seq != decision.seq and one.decision.keys[:1] != decision.keys[:1]
    ]
    count = len(schema.numeric)
    if not known or len(decision.features) != 8 * (count + len(schema.categorical) + 1):
        return [], 0  # of a version that sees other things than the one that serves
    rows = Batch.concat([Batch.from_bytes(one.features, count) for one in (decision, *(k.decision for k in known))])
    apart = differences(rows.numeric, rows.categorical)
    names = (*schema.numeric, *schema.categorical)
    mean = apart.mean(axis=1)
    nearest = np.argsort(mean, kind="stable")[:SHOWN]
    return [_like(known[i], float(mean[i]), apart[i], names, schema) for i in nearest.tolist()], len(known)


def differences(numeric: NDArray[np.float64], categorical: NDArray[np.int64]) -> NDArray[np.float64]:
    """How the first row differs from each of the others, feature by feature, from 0 to 1: [others, features]."""
    missing = np.isnan(numeric)
    ranks = np.empty_like(numeric)
    for place, column in enumerate(numeric.T):
        values, at = np.unique(column, return_inverse=True)  # a missing value comes last
        ranks[:, place] = at / max(1, len(values) - 1)
    apart = np.abs(ranks[1:] - ranks[0])
    apart[missing[1:] != missing[0]] = 1.0
    return np.hstack([apart, categorical[1:] != categorical[0]])


def _like(
    recorded: Recorded, mean: float, apart: NDArray[np.float64], names: Sequence[str], schema: TransactionSchema
) -> Like:
    largest = np.argsort(-apart, kind="stable")[:_NAMED].tolist()
    other = [names[i] for i in largest if apart[i] > 0]
    facts = Facts.of(recorded.decision, schema)
    return Like(recorded, facts, recorded.labels[-1].label, 1.0 - mean, other)
