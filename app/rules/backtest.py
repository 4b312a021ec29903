"""Rules tried on what was recorded, before they are in force: what would have been answered."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from pydantic_core import from_json

from app.decisions.export import pages
from app.rules.facts import Opinion
from app.rules.replies import told
from app.rules.rulebook import Rulebook, Ruling
from app.store.contract import Store
from app.store.query import Filter, Recorded
from app.store.records import Decision
from models.bundle import read_manifest
from models.errors import CounterfoilError
from models.registry import Registry
from models.rows import Batch
from models.schema import TransactionSchema
from models.thresholds import DECISIONS

_DAY = 86_400_000_000
GONE = "their model version is gone"
OTHER = "their model version has other features"


@dataclass(slots=True)
class Tally:
    """Decisions that have something in common.

    Attributes:
        rows: how many.
        fraud, legitimate: of those, known as such by the latest label.
        model: of those, alerts of the model, too.
        alone: of those, decided by nothing else.
    """

    rows: int = 0
    fraud: int = 0
    legitimate: int = 0
    model: int = 0
    alone: int = 0

    def add(self, recorded: Recorded, *, model: bool, alone: bool = False) -> None:
        """Count one decision."""
        label = recorded.labels[-1].label if recorded.labels else None
        self.rows += 1
        self.fraud += label == "fraud"
        self.legitimate += label == "legitimate"
        self.model += model
        self.alone += alone


@dataclass(slots=True)
class Backtest:
    """What rules would have come to. An alert is a review or a decline.

    Attributes:
        days: from the first transaction to the last, both days included.
        all: decisions; ``model``: alerts of the model alone; ``ruled``: alerts with rules and lists.
        changed: by (the model's decision, the final one), those that differ.
        rules: by name, decisions that the rule, or LIST:COLUMN, had a say in.
        skipped: not tried, by why.
        failed: rules that could not be told for a transaction, and why.
    """

    days: int = 1
    all: Tally = field(default_factory=Tally)
    model: Tally = field(default_factory=Tally)
    ruled: Tally = field(default_factory=Tally)
    changed: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: dict[str, Tally] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)


class Trial:
    """Tries a rulebook on a log.

    Args:
        store: may be read-only.
        registry: holds the versions that scored.
        rulebook: with the rules to try, and all changes of the store's lists.
        schema: that the rules were checked against.
    """

    def __init__(self, store: Store, registry: Registry, rulebook: Rulebook, schema: TransactionSchema) -> None:
        self._store, self._registry, self._rulebook, self._schema = store, registry, rulebook, schema
        self._listed = [one.at for one in store.list_changes()]
        self._why: dict[str, str] = {}

    def rulings(self, since: int) -> Iterator[tuple[Recorded, Ruling | str]]:
        """What each decision would have been, newest first; or why that cannot be told.

        The lists count as they stood when it arrived: what was learnt later says nothing of what a rule is good for.

        Args:
            since: arrived then or later, microseconds since 1970 UTC.
        """
        for page in pages(self._store, Filter(since=since)):
            for recorded in page:
                decision = recorded.decision
                why = self._unfit(decision.model_version)
                yield recorded, why or self._ruling(decision)

    def run(self, since: int, progress: Callable[[int], None] = lambda rows: None, most: int | None = None) -> Backtest:
        """Count them; ``most``: decisions that are tried, the latest."""
        found, first, last = Backtest(), 0, 0
        rules = self._rulebook.rules
        if rules is not None:
            found.rules = {rule.name: Tally() for rule in rules.document.rules}
        for place, (recorded, ruling) in enumerate(islice(self.rulings(since), most), 1):
            if place % 1_000 == 0:
                progress(place)
            if isinstance(ruling, str):
                found.skipped[ruling] += 1
                continue
            decision = recorded.decision
            day = (decision.arrived_at if self._schema.timestamp is None else decision.time) // _DAY
            first, last = (day, day) if not found.all.rows else (min(first, day), max(last, day))
            _count(found, recorded, ruling)
        found.days = last - first + 1
        found.failed = self._rulebook.news()
        return found

    def _unfit(self, version: str) -> str:
        if version not in self._why:
            try:
                schema = read_manifest(self._registry.folder(version)).transaction_schema
            except CounterfoilError:
                self._why[version] = GONE
            else:
                self._why[version] = "" if schema.numeric == self._schema.numeric else OTHER
        return self._why[version]

    def _ruling(self, decision: Decision) -> Ruling:
        before = told(decision)
        if before.version is not None:
            number = int(before.version.partition(".")[2])
        else:
            number = bisect_right(self._listed, decision.arrived_at)
        numbers = Batch.from_bytes(decision.features, len(self._schema.numeric)).numeric[0].tolist()
        said = next(one for one in DECISIONS if one == before.model_decision)
        opinion = Opinion(decision.score, decision.threshold, decision.error, said, decision.model_version)
        sent = from_json(decision.body)
        return self._rulebook.rule(sent, numbers, decision.time, decision.arrived_at, opinion, number)


def _count(found: Backtest, recorded: Recorded, ruling: Ruling) -> None:
    model = told(recorded.decision).model_decision
    alerted = model != "approve"
    found.all.add(recorded, model=alerted)
    if alerted:
        found.model.add(recorded, model=True)
    if ruling.decision != "approve":
        found.ruled.add(recorded, model=alerted)
    if ruling.decision != model:
        found.changed[model, ruling.decision] += 1
    for name in ruling.matched:
        found.rules.setdefault(name, Tally()).add(recorded, model=alerted, alone=len(ruling.matched) == 1)
