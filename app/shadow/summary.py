"""What a challenger in the shadow would change: decisions, alerts a day, fraud found and lost, and the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.shadow.results import Columns, Results
from app.store.contract import Store
from app.store.query import Filter
from app.store.records import Decision
from models.challenge import ENOUGH, as_many, evidence, votes
from models.forms.time_patterns import DAY
from models.thresholds import DECISIONS
from models.times import iso_text

#: Decisions that a summary is of, at most: the newest. Changed ones that are shown. A page of labelled ones.
_MOST, _SHOWN, _PAGE = 1_000_000, 20, 500


@dataclass(slots=True)
class ShadowChange:
    """A recorded transaction that the challenger decides otherwise."""

    transaction_id: Annotated[str | None, Field(description="Null where the schema has no id")]
    seq: Annotated[int, Field(description="Its place in the order of arrival")]
    old: Annotated[str, Field(description="As answered")]
    new: Annotated[str, Field(description="By the challenger, at its own threshold")]
    old_score: float
    new_score: float


@dataclass(slots=True, kw_only=True)
class ShadowReply:
    """What a challenger would have decided, beside what was answered."""

    version: str
    against: Annotated[list[str], Field(description="The versions that answered")]
    text: Annotated[str, Field(description="All of it in a sentence or two")]
    decisions: Annotated[int, Field(description="Decided again, each once; the newest million are told of")]
    skipped: Annotated[int, Field(description="Not decided: answered by a version with other [entity] sections")]
    behind: Annotated[int, Field(description="Events of the log that are not looked at yet")]
    days: Annotated[float, Field(description="From the first to the last of these transactions")]
    table: Annotated[
        list[list[int]],
        Field(description="Decisions as answered (rows) and by the challenger at its own threshold (columns)"),
    ]
    alerts_per_day: Annotated[float, Field(description="As answered")]
    own_alerts_per_day: Annotated[float, Field(description="The challenger's, at its own threshold")]
    others_per_day: Annotated[float, Field(description="Alerts a day that are others, at as many alerts for both")]
    fraud: Annotated[int, Field(description="Of these, labelled fraud by now")]
    fraud_found: Annotated[int, Field(description="Labelled fraud that it alone alerts on, at as many alerts")]
    fraud_lost: Annotated[int, Field(description="Labelled fraud that it alone misses, at as many alerts")]
    won: Annotated[int, Field(description="Cards whose first fraud that the two disagree on it alone caught")]
    lost: Annotated[int, Field(description="The same for the version that answered")]
    evidence: Annotated[float, Field(description="That it finds more fraud; 20 is enough, however often one looks")]
    changed: Annotated[list[ShadowChange], Field(description="The most unusual of those decided otherwise")]


def shadow_reply(results: Results, store: Store, version: str) -> ShadowReply | None:
    """What is known of a challenger by now; None of one that shadowed nothing. Not for the event loop.

    Raises:
        StoreUnavailable: the store cannot be read.
    """
    settled = results.settled(version)
    if settled is None:
        return None
    found = results.columns(version, _MOST)
    old, new = found.old_decision, found.decision
    alert, same = old > 0, as_many(old, found.score) > 0
    days = max(float(np.ptp(found.time)) / DAY, 1 / 24) if len(old) else 0.0
    frauds = _frauds(store, found)
    rows = np.array(sorted(frauds), np.int64)
    won, lost = votes(alert[rows], same[rows], np.ones(len(rows), bool), _units([frauds[row] for row in rows.tolist()]))
    reply = ShadowReply(
        version=version,
        against=list(found.against),
        text="",
        decisions=len(old),
        skipped=found.skipped,
        behind=max(0, store.last_seq() - settled),
        days=days,
        table=[[int(((old == i) & (new == j)).sum()) for j in range(len(DECISIONS))] for i in range(len(DECISIONS))],
        alerts_per_day=_per_day(alert, days),
        own_alerts_per_day=_per_day(new > 0, days),
        others_per_day=_per_day(same & ~alert, days),
        fraud=len(rows),
        fraud_found=int((same & ~alert)[rows].sum()),
        fraud_lost=int((alert & ~same)[rows].sum()),
        won=won,
        lost=lost,
        evidence=float(evidence(won, lost)),
        changed=_changed(store, found),
    )
    reply.text = _text(reply, found)
    return reply


def _per_day(chosen: NDArray[np.bool_], days: float) -> float:
    return float(chosen.sum()) / days if days else 0.0


def _frauds(store: Store, found: Columns) -> dict[int, Decision]:
    """Those labelled fraud by now, by their row."""
    frauds: dict[int, Decision] = {}
    before: int | None = None
    while len(found.seq):
        page = store.page(Filter(label="fraud"), before, _PAGE)
        for one in page.decisions:
            row = int(np.searchsorted(found.seq, one.decision.seq))
            if row < len(found.seq) and found.seq[row] == one.decision.seq:
                frauds[row] = one.decision
        before = page.before
        if before is None or before <= found.seq[0]:
            break
    return frauds


def _units(decisions: list[Decision]) -> NDArray[np.int64]:
    """The card, or another first entity, of each: it has one vote."""
    known: dict[object, int] = {}
    return np.array([known.setdefault(one.keys[0] if one.keys else one.seq, len(known)) for one in decisions], np.int64)


def _changed(store: Store, found: Columns) -> list[ShadowChange]:
    rows = np.flatnonzero(found.old_decision != found.decision)
    rows = rows[np.argsort(-np.maximum(found.old_score, found.score)[rows], kind="stable")][:_SHOWN]
    changes = []
    for row in rows.tolist():
        seq = int(found.seq[row])
        decisions = store.page(Filter(), seq + 1, 1).decisions
        if decisions and decisions[0].decision.seq == seq:  # else it was erased
            changes.append(
                ShadowChange(
                    decisions[0].decision.transaction_id,
                    seq,
                    DECISIONS[found.old_decision[row]],
                    DECISIONS[found.decision[row]],
                    float(found.old_score[row]),
                    float(found.score[row]),
                )
            )
    return changes


def _text(reply: ShadowReply, found: Columns) -> str:
    if not reply.decisions:
        return "Nothing is recorded yet that is younger than what it has learned from."
    since = iso_text(int(found.time.min()))
    told = (
        f"{reply.decisions:,} decisions on transactions since {since}: {reply.alerts_per_day:.1f} alerts a day, "
        f"{reply.own_alerts_per_day:.1f} at the challenger's own threshold. At as many alerts for both, "
        f"{reply.others_per_day:.1f} a day are others"
    )
    if not reply.fraud:
        return f"{told}. None of them is labelled fraud yet."
    told += (
        f", and of {reply.fraud:,} labelled fraud it alone finds {reply.fraud_found:,} and misses {reply.fraud_lost:,}."
    )
    return f"{told} The evidence that it is better is {reply.evidence:.2g}; {ENOUGH:.0f} is needed."
