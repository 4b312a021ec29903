"""Pages of the decision log: how long one of 100 takes with a million decisions.

python benchmarks/decisions.py                                           # SQLite, in a temporary folder
python benchmarks/decisions.py --decisions 2000                          # a tiny run
python benchmarks/decisions.py --database postgresql://USER@HOST/NAME    # an empty database
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from app.store.contract import Store
from app.store.open import open_store
from app.store.query import Filter
from app.store.records import Decision, LabelEvent, View, Writes
from models.behaviour.keys import key_digest

_AT_ONCE, _PAGE, _RUNS = 2_000, 100, 5
_CARDS, _MERCHANTS = 20_000, 500
_SECOND, _START = 1_000_000, 1_767_225_600_000_000


def main() -> None:
    """Fill a store, then read pages of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=1_000_000)
    parser.add_argument("--database", help="URL of an empty store; default: SQLite in a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(options.database or f"sqlite:///{Path(folder) / 'log.db'}", durability="normal")
        began = time.perf_counter()
        fill(store, options.decisions)
        print(f"{options.decisions:,} decisions written in {time.perf_counter() - began:.0f} s\n")
        for name, wanted, before in questions(options.decisions):
            times = []
            for _ in range(_RUNS):
                began = time.perf_counter()
                page = store.page(wanted, before, _PAGE)
                times.append(1_000 * (time.perf_counter() - began))
            print(f"{name:<52} {len(page.decisions):>4} found   {statistics.median(times):8.1f} ms")
        store.close()


def questions(decisions: int) -> Iterator[tuple[str, Filter, int | None]]:
    """A name, what is asked, and where the page begins. A decision a second, one in 200 an alert."""
    middle = _START + decisions // 2 * _SECOND
    hour = Filter(since=middle, until=middle + 3_600 * _SECOND)
    card, merchant = (("card", key_digest("card-7")), ("merchant", key_digest("merchant-7")))
    yield "the newest", Filter(), None
    yield "from the middle on", Filter(), decisions // 2
    yield "the newest alerts", Filter(is_anomaly=True), None
    yield "declined: none there are", Filter(decision="decline"), None
    yield "score of 0.99999 or more", Filter(min_score=0.99999), None
    yield "an hour in the middle", hour, None
    yield "that hour's alerts", Filter(since=hour.since, until=hour.until, is_anomaly=True), None
    yield "one card", Filter(entities=(card,)), None
    yield "one merchant's alerts", Filter(entities=(merchant,), is_anomaly=True), None
    yield "one transaction", Filter(transaction_id="tx-77"), None
    yield "labelled fraud", Filter(label="fraud"), None
    yield "another model version", Filter(model_version="20250101T000000Z-00000000"), None


def fill(store: Store, decisions: int) -> None:
    """Decisions of the size that the profile ``payments`` makes; labels for one alert in four."""
    random = np.random.default_rng(0)
    for start in range(0, decisions, _AT_ONCE):
        count = min(_AT_ONCE, decisions - start)
        scores = random.random(count)
        cards, merchants = random.integers(_CARDS, size=count), random.integers(_MERCHANTS, size=count)
        made = [
            _decision(start + i, float(scores[i]), f"card-{cards[i]}", f"merchant-{merchants[i]}") for i in range(count)
        ]

        def write(view: View, made: list[Decision] = made) -> Writes:
            marked = [one for one in made if one.score >= one.threshold and one.time % (4 * _SECOND) < _SECOND]
            first = made[-1].seq + 1
            labels = [
                LabelEvent(first + i, one.transaction_id or "", "fraud", one.time, one.time, None, 1)
                for i, one in enumerate(marked)
            ]
            return Writes(made, labels)

        store.transact([], [], 2 * _AT_ONCE, write)


def _decision(number: int, score: float, card: str, merchant: str) -> Decision:
    """Every second place is left for labels."""
    moment = _START + number * _SECOND
    seq = number // _AT_ONCE * 2 * _AT_ONCE + number % _AT_ONCE + 1
    alert = score >= 0.995
    return Decision(
        seq=seq,
        transaction_id=f"tx-{number}",
        digest=hashlib.sha256(str(number).encode()).digest(),
        time=moment,
        arrived_at=moment,
        body='{"transaction_id": "tx", "note": "' + "b" * 300 + '"}',
        features=b"f" * 600,
        score=score,
        error=100 * score,
        threshold=0.995,
        decision="review" if alert else "approve",
        model_version="20260101T000000Z-0a1b2c3d",
        reply=b"r" * 900,
        caller="switch",
        latency_us=900,
        keys=(("card", key_digest(card)), ("merchant", key_digest(merchant))),
    )


if __name__ == "__main__":
    main()
