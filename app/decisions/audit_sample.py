"""A random share of what was approved, to be looked at by hand: from it, how much of all fraud is alerted on.

Fraud that nobody looked for is in no label. A sample whose rows are all looked at tells how much of it there is. Which
rows are in it follows from a keyed hash of their ids: no state is kept, the same command again names the same rows, and
a larger share contains the smaller one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import polars as pl

from app.decisions.export import frame_of, pages
from app.store.contract import Store
from app.store.query import Filter
from app.store.records import Decision
from models.schema import TransactionSchema

LEVEL = 0.95
_WHOLE = 1 << 64


@dataclass(frozen=True, slots=True)
class Counts:
    """Decisions of a period.

    Attributes:
        alerts, alerts_fraud, alerts_open: reviewed or declined; of these labelled fraud, and without a label.
        approved: the others; ``sample``: those of them in the sample, ``sample_fraud`` and ``sample_open`` of these.
    """

    alerts: int = 0
    alerts_fraud: int = 0
    alerts_open: int = 0
    approved: int = 0
    sample: int = 0
    sample_fraud: int = 0
    sample_open: int = 0


@dataclass(frozen=True, slots=True)
class Recall:
    """Share of all fraud that is alerted on.

    Attributes:
        value: with what is not looked at yet taken for legitimate; None where no fraud is known.
        low, high: a 95 % interval; what is not looked at yet may be either.
    """

    value: float | None
    low: float
    high: float


class AuditSample:
    """The sample of a store's decisions, counted while its rows are read.

    Args:
        wanted: the period.
        share: of the approved decisions, above 0 and at most 1.
        key: what the hash is keyed with, at most 64 bytes.

    Attributes:
        counts: complete once :meth:`open_frames` was read to the end.
    """

    def __init__(self, store: Store, wanted: Filter, schema: TransactionSchema, share: float, key: bytes) -> None:
        self._store, self._wanted, self._schema = store, wanted, schema
        self._below, self._key = round(share * _WHOLE), key
        self.counts = Counts()

    def open_frames(self) -> Iterator[pl.DataFrame]:
        """The sample's decisions that have no label yet, newest first, as :func:`app.decisions.export.frames`."""
        found = [0] * 7
        for page in pages(self._store, self._wanted):
            still_open = []
            for recorded in page:
                decision, label = recorded.decision, recorded.labels[-1].label if recorded.labels else None
                if decision.decision != "approve":
                    place = 0
                elif self.has(decision):
                    place = 4
                    found[3] += 1
                    if label is None:
                        still_open.append(recorded)
                else:
                    found[3] += 1
                    continue
                found[place] += 1
                found[place + 1] += label == "fraud"
                found[place + 2] += label is None
            yield frame_of(still_open, self._schema)
        self.counts = Counts(*found)

    def has(self, decision: Decision) -> bool:
        """Whether a decision is in the sample, if it is approved."""
        name = decision.transaction_id.encode() if decision.transaction_id is not None else b"%d" % decision.seq
        digest = hashlib.blake2b(name, digest_size=8, key=self._key, person=b"audit sample").digest()
        return int.from_bytes(digest) < self._below


def recall(counts: Counts) -> Recall:
    """The share of all fraud that was alerted on.

    The sample's fraud stands for that of all approved decisions in proportion (Horvitz & Thompson, JASA 47, 1952), with
    Wilson's interval (JASA 22, 1927) for its share.
    """
    low, high = (
        wilson(counts.sample_fraud, counts.sample)[0],
        wilson(counts.sample_fraud + counts.sample_open, counts.sample)[1],
    )
    missed = counts.approved * counts.sample_fraud / counts.sample if counts.sample else 0.0
    fraud, most = counts.alerts_fraud, counts.alerts_fraud + counts.alerts_open
    return Recall(
        fraud / (fraud + missed) if fraud + missed else None,
        fraud / (fraud + counts.approved * high) if fraud else 0.0,
        most / (most + counts.approved * low) if most else 0.0 if low else 1.0,
    )


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's interval of a share; all of [0, 1] without a trial."""
    if not trials:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(LEVEL / 2 + 0.5)
    share, weight = hits / trials, z * z / trials
    middle = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * math.sqrt(share * (1 - share) / trials + weight / (4 * trials))
    return (0.0 if hits == 0 else middle - reach), (1.0 if hits == trials else middle + reach)
