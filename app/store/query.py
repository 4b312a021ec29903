"""What is asked of the log: which decisions, and the page of them that is answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.store.records import Decision, Label, LabelEvent
from models.behaviour.keys import EntityKey


@dataclass(frozen=True, slots=True)
class Filter:
    """Which decisions: those of which all that is not None holds.

    Attributes:
        since, until: arrived at or after, and before; microseconds since 1970 UTC.
        decision: approve, review or decline.
        is_anomaly: score >= threshold.
        min_score: this score or more.
        entities: belongs to all of them.
        transaction_id, model_version, caller: as recorded.
        label: the latest.
    """

    since: int | None = None
    until: int | None = None
    decision: str | None = None
    is_anomaly: bool | None = None
    min_score: float | None = None
    entities: tuple[EntityKey, ...] = ()
    transaction_id: str | None = None
    model_version: str | None = None
    caller: str | None = None
    label: Label | None = None

    @property
    def of_times_alone(self) -> bool:
        """Whether a time of arrival is asked for, and neither entity, id nor label."""
        no_other = not self.entities and self.transaction_id is None and self.label is None
        return no_other and (self.since is not None or self.until is not None)

    def takes(self, decision: Decision) -> bool:
        """Whether all but the label holds."""
        equal = (
            (self.decision, decision.decision),
            (self.is_anomaly, decision.score >= decision.threshold),
            (self.transaction_id, decision.transaction_id),
            (self.model_version, decision.model_version),
            (self.caller, decision.caller),
        )
        return (
            all(wanted is None or wanted == found for wanted, found in equal)
            and (self.since is None or decision.arrived_at >= self.since)
            and (self.until is None or decision.arrived_at < self.until)
            and (self.min_score is None or decision.score >= self.min_score)
            and set(self.entities) <= set(decision.keys)
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision and what became known of it, oldest first; the last label counts."""

    decision: Decision
    labels: Sequence[LabelEvent]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many decisions of one version a stretch of the log has, by the day of the transaction.

    Attributes:
        days: (day, decisions, of these alerts: score >= threshold); days are counted from 1970 (UTC), or from the
            start where times are none of the calendar.
        last: the last place that was counted.
    """

    days: Sequence[tuple[int, int, int]]
    last: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some decisions, newest first.

    Attributes:
        before: the page goes on with decisions before this place in the order of arrival; None where there is no more.
            There may be more even if this part of the log held none.
    """

    decisions: Sequence[Recorded]
    before: int | None
