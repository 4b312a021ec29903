"""Which model version answers from when on, as the log has it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.store.contract import Store
from app.store.records import Activation
from models.manifest import Manifest


def activated(store: Store, manifest: Manifest, by: str | None = None, report: str | None = None) -> Activation:
    """Record that a version answers from now on. Nothing is written where the last activation says so already.

    Belongs to the thread that writes. Of several processes that take a version over together, the first one writes.

    Args:
        by: who wanted it; ``report``: SHA-256 of the report that it was decided on.

    Returns:
        The last activation, of this version.

    Raises:
        StoreUnavailable: it is not recorded.
    """
    while True:
        known = store.activations()
        last = known[-1] if known else None
        if last is not None and last.version == manifest.version:
            return last
        new = Activation(
            number=1 if last is None else last.number + 1,
            version=manifest.version,
            before=None if last is None else last.version,
            at=time.time_ns() // 1_000,
            seq=store.last_seq(),
            threshold=manifest.threshold.score,
            decline=manifest.threshold.decline,
            by=by,
            report=report,
        )
        if store.activate(new):
            return new


def active_at(activations: Sequence[Activation], moment: int) -> Activation | None:
    """The activation under which was decided at a moment; None before the first.

    Args:
        activations: as the store has them, oldest first.
        moment: microseconds since 1970 UTC.
    """
    return next((one for one in reversed(activations) if one.at <= moment), None)
