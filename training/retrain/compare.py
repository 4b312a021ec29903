"""A challenger beside the active version: the same rows, the same alerts a day, and what would change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.behaviour.events import Behaviour
from models.challenge import as_many, evidence, fresh_from, votes
from models.errors import InvalidInput
from models.rows import FRAUD, LEGITIMATE, UNKNOWN, Batch
from models.schema import TransactionSchema
from models.scorer import Scorer
from models.thresholds import DECISIONS
from training.behaviour import remember
from training.read import History
from training.report import format
from training.report.bootstrap import Bootstrap, Estimate
from training.report.clock import Clock
from training.report.grouping import bootstrap_units, codes

REASONS, SHOWN = 3, 200
_LABELS = {FRAUD: "fraud", LEGITIMATE: "legitimate"}


@dataclass(frozen=True)
class Side:
    """One of the two versions on the compared rows.

    Attributes:
        threshold: the score from which it alerts here; the active version's own, the challenger's for as many alerts.
        own_alerts_per_day: at the threshold that the version was published with.
        fraud: labelled fraud that it alerts on.
        recall: the same as a share of all labelled fraud; None without any.
        looked_at: of its alerts, those with a label.
    """

    version: str
    threshold: float | None
    own_alerts_per_day: float
    fraud: int
    recall: Estimate | None
    looked_at: int


@dataclass(frozen=True)
class Changed:
    """A transaction on which the two decide otherwise.

    Attributes:
        transaction_id: None where the profile has no ids.
        label: ``fraud``, ``legitimate``, ``disputed`` or ``not known``.
        old, new: decisions; ``old_score`` and ``new_score`` of the two versions.
        reasons: why it is unusual, by the version with the stricter decision.
    """

    transaction_id: str | None
    when: str
    label: str
    old: str
    new: str
    old_score: float
    new_score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What the challenger would change.

    Attributes:
        period: of the compared rows, in words; ``days``: how long.
        rows, fraud, legitimate, disputed, never_looked_at: rows, and how many are what.
        alerts: of either version.
        decisions: rows by decision of the active version, then of the challenger.
        alerts_gained, alerts_lost: a day, raised by one of the two alone.
        fraud_found, fraud_lost: labelled fraud that one of the two alone alerts on.
        changed: up to ``SHOWN``, labelled fraud first; ``changes``: how many there are.
        unit: what has one vote, e.g. ``card``; ``won``, ``lost``: votes; ``evidence``: that the challenger is better.
    """

    old: Side
    new: Side
    period: str
    days: float
    rows: int
    fraud: int
    legitimate: int
    disputed: int
    never_looked_at: int
    alerts: int
    decisions: tuple[tuple[int, ...], ...]
    alerts_gained: Estimate
    alerts_lost: Estimate
    fraud_found: Estimate
    fraud_lost: Estimate
    changed: tuple[Changed, ...]
    changes: int
    unit: str
    won: int
    lost: int
    evidence: float


def compare(old: Scorer, new: Scorer, old_history: History, new_history: History) -> Comparison:
    """Compare on the rows that neither version has learned from.

    Args:
        old_history, new_history: the same rows under each version's schema, from the beginning: cards have a past.

    Raises:
        InvalidInput: there is no such row.
    """
    first = int(np.searchsorted(new_history.time, fresh_from(old.manifest, new.manifest), side="left"))
    if first == len(new_history):
        raise InvalidInput(
            "no row is younger than what the two versions learned from, and old enough for its label to be known: "
            "there is nothing to compare them on yet"
        )
    history = new_history.take(slice(first, None))
    batches = [_batch(old, old_history).take(slice(first, None)), _batch(new, new_history).take(slice(first, None))]
    ranks = [scorer.evidence(batch) for scorer, batch in zip((old, new), batches, strict=True)]
    scores = [scorer.manifest.calibration.to_score(rank) for scorer, rank in zip((old, new), ranks, strict=True)]
    before = old.manifest.threshold.decision(scores[0])
    after = as_many(before, ranks[1])
    alert, alerts_after = before > 0, after > 0
    clock = Clock(new.schema, history.time)
    days = clock.days or 1 / 24
    entity = next(iter(new.schema.entities), None)
    unit, drawn = bootstrap_units(codes(history.entity[entity]) if entity else None, entity, len(history))
    fraud = history.label == FRAUD
    known = history.label != UNKNOWN
    sample = Bootstrap(
        {
            "rows": np.ones(len(history)),
            "fraud": fraud,
            "old": fraud & alert,
            "new": fraud & alerts_after,
            "gained": alerts_after & ~alert,
            "lost": alert & ~alerts_after,
            "found": fraud & alerts_after & ~alert,
            "missed": fraud & alert & ~alerts_after,
        },
        unit,
        None,
    )
    cut = np.flatnonzero(alerts_after)
    won, lost = votes(alert, alerts_after, fraud, unit)
    different = before != after
    own = float(new.manifest.threshold.is_anomaly(scores[1]).sum()) / days
    return Comparison(
        old=Side(
            old.manifest.version,
            old.manifest.threshold.score,
            float(alert.sum()) / days,
            int((fraud & alert).sum()),
            sample.share("old", "fraud"),
            int((known & alert).sum()),
        ),
        new=Side(
            new.manifest.version,
            float(scores[1][cut].min()) if len(cut) else None,
            own,
            int((fraud & alerts_after).sum()),
            sample.share("new", "fraud"),
            int((known & alerts_after).sum()),
        ),
        period=clock.period() or "",
        days=days,
        rows=len(history),
        fraud=int(fraud.sum()),
        legitimate=int((history.label == LEGITIMATE).sum()),
        disputed=0 if history.disputed is None else int(history.disputed.sum()),
        never_looked_at=int((~known).sum()) - (0 if history.disputed is None else int(history.disputed.sum())),
        alerts=int(alert.sum()),
        decisions=tuple(tuple(int(((before == i) & (after == j)).sum()) for j in range(3)) for i in range(3)),
        alerts_gained=_total(sample, "gained", "rows", days),
        alerts_lost=_total(sample, "lost", "rows", days),
        fraud_found=_total(sample, "found", "fraud"),
        fraud_lost=_total(sample, "missed", "fraud"),
        changed=_changed(old, new, batches, scores, before, after, history, clock),
        changes=int(different.sum()),
        unit=_named(new.schema, entity) if entity and drawn != "single transactions" else "transaction",
        won=won,
        lost=lost,
        evidence=float(evidence(won, lost)),
    )


def _named(schema: TransactionSchema, column: str) -> str:
    """An entity in a word: its section in the profile, or else its column."""
    return next((name for name, behaviour in schema.entity.items() if behaviour.key == column), column)


def _batch(scorer: Scorer, history: History) -> Batch:
    behaviour = Behaviour(scorer.schema)
    return (remember(behaviour, history)[0] if behaviour else history).batch(scorer.vocabulary)


def _total(sample: Bootstrap, column: str, whole: str, per: float = 1.0) -> Estimate:
    """A sum with its interval; of nothing, as much as chance may have hidden."""
    if sample[column]:
        return sample.total({column: 1 / per})
    share = sample.share(column, whole) or Estimate(0.0)
    return share.map(lambda value: value * sample[whole] / per)


def _changed(
    old: Scorer,
    new: Scorer,
    batches: list[Batch],
    scores: list[NDArray[np.float64]],
    before: NDArray[np.int8],
    after: NDArray[np.int8],
    history: History,
    clock: Clock,
) -> tuple[Changed, ...]:
    rows = np.flatnonzero(before != after)
    rarest = np.maximum(*scores)[rows]
    rows = rows[np.lexsort((-rarest, history.label[rows] != FRAUD))][:SHOWN]
    explained: dict[int, tuple[str, ...]] = {}
    for scorer, batch, mine in (
        (old, batches[0], rows[before[rows] > after[rows]]),
        (new, batches[1], rows[before[rows] < after[rows]]),
    ):
        part = batch.take(mine)
        found = scorer.score(part, explain=True)
        for i, row in enumerate(mine.tolist()):
            explained[row] = tuple(format.plain(reason.text, 200) for reason in scorer.reasons(part, found, i, REASONS))
    return tuple(
        Changed(
            None if history.id is None else format.plain(history.id[row]),
            clock.moment(int(history.time[row])),
            "disputed"
            if history.disputed is not None and history.disputed[row]
            else _LABELS.get(int(history.label[row]), "not known"),
            DECISIONS[before[row]],
            DECISIONS[after[row]],
            float(scores[0][row]),
            float(scores[1][row]),
            explained[row],
        )
        for row in rows.tolist()
    )
