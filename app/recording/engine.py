"""The decision engine: from arrivals, what the store knows of them and the states of their entities to answers.

Pure: it reads no store and holds no state. Recorded scoring, scoring while the store fails and the check of the log are
the same two steps: :meth:`Engine.advance` gives a transaction its behaviour features, :meth:`Engine.score` its reply.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
from pydantic_core import to_json

from app.recording.answers import Answer, Decided, Featured
from app.refusals import Conflict, FieldProblem, Refusal, Untimely
from app.replies import ScoreReply
from app.requests.arrival import Arrival
from app.requests.idempotency import HEADER
from app.requests.sameness import same_transaction
from app.rules.replies import ruled
from app.rules.rulebook import Rulebook
from app.store.records import Decision, Name, View
from models.behaviour import layout as L
from models.behaviour import plan as P
from models.behaviour.compiled import load_compiler
from models.behaviour.distance import kilometres
from models.behaviour.events import Behaviour, Entity
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, empty, step
from models.familiarity import Familiarity
from models.rows import Batch
from models.scorer import Asked, Scorer
from models.thresholds import DECISIONS

_SECOND, _DAY = 1_000_000, 86_400_000_000


class Engine:
    """Decides under one model version. Immutable but for what it counts; :meth:`score` is thread-safe.

    Args:
        future_tolerance: seconds that a transaction may be ahead of this machine's clock.

    Attributes:
        familiarity: of what was recorded.
    """

    def __init__(self, scorer: Scorer, future_tolerance: int = 0) -> None:
        self._scorer = scorer
        self._schema = scorer.schema
        self._future = future_tolerance * _SECOND
        self.behaviour = Behaviour(scorer.schema)
        if self.behaviour:  # now, not while a payment waits
            load_compiler()
            if scorer.schema.places:
                kilometres((0.0, 0.0, 0.0, 0.0))
        self.familiarity = Familiarity(scorer.schema, scorer.vocabulary)

    def decide(
        self,
        arrivals: Sequence[Arrival],
        view: View,
        states: Mapping[EntityKey, State],
        rulebook: Rulebook | None = None,
    ) -> Decided:
        """Answer transactions in the order given, which is their order of arrival.

        Args:
            view: what is recorded under their names, and the first free place.
            states: of their entities, not to be changed; one that has none is new.
            rulebook: what has a say beside the model.
        """
        decided = Decided([_UNANSWERED] * len(arrivals))
        first: dict[Name, int] = {}
        again: list[int] = []
        fresh: list[int] = []
        features: list[Featured] = []
        for i, arrival in enumerate(arrivals):
            if stored := {name: view.known[name] for name in arrival.names if name in view.known}:
                others = [n for n, d in stored.items() if not same_transaction(d, arrival.digest, arrival.body)]
                decided.answers[i] = self.again(next(iter(stored.values())).reply, others)
                continue
            if any(name in first for name in arrival.names):
                again.append(i)
                continue
            try:
                features.append(self.advance(arrival, states, decided.states, timely=True))
            except Untimely as refusal:
                decided.answers[i] = refusal
                continue
            seq = view.next_seq + len(fresh)
            for key, _ in arrival.events:
                decided.first_seq.setdefault(key, seq)
            first |= dict.fromkeys(arrival.names, i)
            fresh.append(i)
        decided.featured = time.perf_counter()
        new = [arrivals[i] for i in fresh]
        for i, (answer, decision) in zip(fresh, self._recorded(new, features, view.next_seq, rulebook), strict=True):
            decided.answers[i] = answer
            decided.decisions.append(decision)
        decided.scored = time.perf_counter()
        for i in again:
            earlier = {name: first[name] for name in arrivals[i].names if name in first}
            others = [name for name, j in earlier.items() if arrivals[j].digest != arrivals[i].digest]
            answer_before = decided.answers[next(iter(earlier.values()))]
            assert isinstance(answer_before, Answer)  # only what is recorded has names
            decided.answers[i] = self.again(answer_before.content, others)
        return decided

    def decide_apart(
        self, arrivals: Sequence[Arrival], states: Mapping[EntityKey, State], rulebook: Rulebook | None = None
    ) -> list[Answer | Refusal]:
        """Answer transactions that cannot be recorded, each as if it were the only one.

        Args:
            states: those that are known; the reply to a transaction of another entity says that it is approximate.
            rulebook: what has a say beside the model.
        """
        answers: list[Answer | Refusal] = [_UNANSWERED] * len(arrivals)
        fresh: list[int] = []
        features: list[Featured] = []
        for i, arrival in enumerate(arrivals):
            try:
                found = self.advance(arrival, states, {}, timely=True)
            except Untimely as refusal:
                answers[i] = refusal
                continue
            known = all(key in states for key, _ in arrival.events)
            features.append(found if known else Featured(found.values, approximate=True))
            fresh.append(i)
        replies, _ = self.score([arrivals[i] for i in fresh], features, rulebook, logged=False)
        for i, reply in zip(fresh, replies, strict=True):
            answers[i] = Answer(to_json(reply), reply)
        return answers

    def advance(
        self,
        arrival: Arrival,
        states: Mapping[EntityKey, State],
        moved: dict[EntityKey, State],
        *,
        timely: bool,
    ) -> Featured:
        """The transaction's behaviour features, its entities' states moved on; or nothing is changed.

        Args:
            states: to begin with, where ``moved`` has none; they are not changed.
            moved: takes the states after the transaction.
            timely: refuse what comes from the future, or from before the history that is kept.

        Raises:
            Untimely: it does.
        """
        if timely and self.behaviour.calendar and arrival.time > arrival.arrived_at + self._future:
            raise self._untimely(f"more than {self._future // _SECOND} s ahead of this service's clock")
        held = []
        for entity, (key, event) in zip(self.behaviour.entities, arrival.events, strict=True):
            state = moved.get(key)
            if state is None:
                before = states.get(key)
                state = empty(entity) if before is None else before.copy()
            if timely and state[L.NEWEST] != L.NEVER and event[0] < state[L.NEWEST] - entity.plan[P.LATE]:
                raise self._untimely(_too_late(entity))
            held.append((entity, key, state, event))
        features = np.empty(self.behaviour.width)
        approximate = False
        for entity, key, state, event in held:
            moved[key], status = step(entity, state, event, features[entity.out])
            approximate |= status > 0
        return Featured(features, approximate)

    def score(
        self,
        arrivals: Sequence[Arrival],
        features: Sequence[Featured],
        rulebook: Rulebook | None = None,
        *,
        logged: bool = True,
    ) -> tuple[list[ScoreReply], Batch]:
        """The replies to transactions with their behaviour features, and what the detector was given.

        Args:
            rulebook: what has a say beside the model.
            logged: what the replies say of that.
        """
        batch = self.batch(arrivals, features)
        if not arrivals:
            return [], batch
        scores = self._scorer.score(batch, explain=any(arrival.options.reasons for arrival in arrivals))
        threshold, version = self._scorer.manifest.threshold.score, self._scorer.manifest.version
        asked = [Asked(i, one.options.reasons, one.options.verify) for i, one in enumerate(arrivals)]
        reasons = self._scorer.reasons_of(batch, scores, asked)
        replies = []
        for row, (arrival, found) in enumerate(zip(arrivals, features, strict=True)):
            reply = ScoreReply(
                transaction_id=arrival.transaction_id,
                score=float(scores.score[row]),
                threshold=threshold,
                is_anomaly=bool(scores.is_anomaly[row]),
                decision=DECISIONS[scores.decision[row]],
                reconstruction_error=float(scores.error[row]),
                reasons=reasons[row],
                model_version=version,
                approximate=found.approximate,
                logged=logged,
            )
            replies.append(reply)
        if rulebook is not None:
            numbers = batch.numeric.tolist()
            replies = [ruled(rulebook, *one) for one in zip(arrivals, numbers, replies, strict=True)]
        return replies, batch

    def batch(self, arrivals: Sequence[Arrival], features: Sequence[Featured]) -> Batch:
        """What the detector is given of transactions with their behaviour features."""
        rows = len(arrivals)
        sent = np.array([arrival.numeric for arrival in arrivals], np.float64)
        codes = np.array([arrival.categorical for arrival in arrivals], np.int64)
        numeric = sent.reshape(rows, len(self._schema.sent_numeric))
        if self.behaviour:
            numeric = np.hstack(
                [numeric, np.array([found.values for found in features]).reshape(rows, self.behaviour.width)]
            )
        time_ = np.array([arrival.time for arrival in arrivals], np.int64)
        return Batch(numeric, codes.reshape(rows, len(self._schema.categorical)), time_)

    def _recorded(
        self, arrivals: Sequence[Arrival], features: Sequence[Featured], seq: int, rulebook: Rulebook | None
    ) -> list[tuple[Answer, Decision]]:
        replies, batch = self.score(arrivals, features, rulebook)
        self.familiarity.look(batch.categorical)
        found = []
        for row, (arrival, reply) in enumerate(zip(arrivals, replies, strict=True)):
            content = to_json(reply)
            decision = Decision(
                seq=seq + row,
                transaction_id=arrival.transaction_id,
                digest=arrival.digest,
                time=arrival.time,
                arrived_at=arrival.arrived_at,
                body=arrival.body,
                features=batch.to_bytes(row),
                score=reply.score,
                error=reply.reconstruction_error,
                threshold=reply.threshold,
                decision=reply.decision,
                model_version=reply.model_version,
                reply=content,
                caller=arrival.caller,
                latency_us=int((time.perf_counter() - arrival.arrived) * 1e6),
                keys=tuple(key for key, _ in arrival.events),
                idempotency_digest=arrival.idempotency_digest,
            )
            found.append((Answer(content, reply), decision))
        return found

    def again(self, reply: bytes, others: Sequence[Name]) -> Answer | Refusal:
        """For a transaction some of whose names are taken; ``others``: those that stand for another one."""
        if not others:
            return Answer(reply)
        fields = [self._schema.id or "" if isinstance(name, str) else HEADER for name in others]
        problems = [FieldProblem(field=field, message="another transaction is recorded under it") for field in fields]
        return Conflict("each id and each key stands for one transaction; nothing was changed", problems)

    def _untimely(self, message: str) -> Untimely:
        return Untimely(self._schema.timestamp or "", message)


#: In place of an answer until there is one.
_UNANSWERED = Answer(b"")


def _too_late(entity: Entity) -> str:
    days = int(entity.plan[P.LATE]) // _DAY
    return f"more than {days} days before the newest transaction of the same {entity.name}: no history is kept for it"
