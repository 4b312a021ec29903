"""What lists and rules make of a reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import from_json

from app.replies import RuledReply, ScoreReply
from app.requests.arrival import Arrival
from app.rules.facts import Opinion
from app.rules.rulebook import Rulebook
from app.store.records import Decision

_MARK = b'"rules_version":'


@dataclass(frozen=True, slots=True)
class Told:
    """What a recorded reply says of lists and rules; ``version`` is None where they had no say."""

    model_decision: str
    rules: tuple[str, ...] = ()
    version: str | None = None


def told(decision: Decision) -> Told:
    """What was answered."""
    if _MARK not in decision.reply:  # a text in it may hold the mark all the same
        return Told(decision.decision)
    reply = from_json(decision.reply)
    if "rules_version" not in reply:
        return Told(decision.decision)
    return Told(reply["model_decision"], tuple(reply["rules"]), reply["rules_version"])


def rules_version(decision: Decision) -> str | None:
    """The version of what had a say; None where nothing but the model had."""
    return told(decision).version


def ruled(
    rulebook: Rulebook,
    arrival: Arrival,
    numbers: Sequence[float],
    reply: ScoreReply,
    number: int | None = None,
    at: int | None = None,
) -> ScoreReply:
    """What lists and rules make of a reply.

    Args:
        numbers: as the detector was given them.
        number: of the last change of the lists that counts; by default all of them.
        at: when the transaction arrived, microseconds since 1970 UTC; by default as the arrival says.
    """
    opinion = Opinion(reply.score, reply.threshold, reply.reconstruction_error, reply.decision, reply.model_version)
    at = arrival.arrived_at if at is None else at
    found = rulebook.rule(from_json(arrival.body), numbers, arrival.time, at, opinion, number)
    return RuledReply.of(reply, found.decision, list(found.matched), found.version)
