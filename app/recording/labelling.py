"""What a label comes to: the event that is recorded, and the fraud that its entities' states count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from app.recording.commit import Work
from app.refusals import Conflict, FieldProblem
from app.store.records import Decision, LabelEvent
from models.behaviour.events import Behaviour
from models.behaviour.kernel import relabel
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, empty


def plausible_time(behaviour: Behaviour, known_at: int, decision: Decision, tolerance: int) -> int:
    """When a label became known, not before the transaction itself.

    Args:
        known_at: as it was said, microseconds; ``tolerance``: by which the clocks of callers may differ.

    Raises:
        Conflict: it is earlier than the transaction by more than that.
    """
    if not behaviour.calendar or known_at >= decision.time:
        return known_at
    if decision.time - known_at > tolerance:
        problem = FieldProblem(field="known_at", message="earlier than the transaction itself")
        raise Conflict("the label cannot be right", [problem])
    return decision.time


def labelled(
    behaviour: Behaviour,
    decision: Decision,
    event: LabelEvent,
    before: LabelEvent | None,
    committed: Mapping[EntityKey, State],
) -> Work:
    """Record a label of a decision.

    Args:
        event: its ``change`` is set here.
        before: the label so far.
        committed: states of the decision's entities, not to be changed; one that has none is new.
    """
    change = int(event.label == "fraud") - int(before is not None and before.label == "fraud")
    entities = {entity.name: entity for entity in behaviour.entities}
    moved: dict[EntityKey, State] = {}
    for key in decision.keys if change else ():
        entity = entities.get(key[0])
        if entity is not None:
            moved[key] = committed[key].copy() if key in committed else empty(entity)
            relabel(moved[key], entity.plan, decision.time, change)
    return Work(moved, dict.fromkeys(moved, event.seq), labels=[replace(event, change=change)])
