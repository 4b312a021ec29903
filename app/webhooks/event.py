"""An alert as it is sent: a CloudEvents 1.0 event in JSON, with the fields of ``GET /v1/decisions``.

Ids stand in it as the log keeps them, as pseudonyms where that was wanted, and no card number is in the log.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any
from uuid import uuid4

from pydantic_core import from_json, to_json

from app.decisions.replies import line
from app.store.query import Recorded
from app.store.records import Decision
from models.bundle import read_manifest
from models.errors import CounterfoilError
from models.registry import Registry
from models.schema import TransactionSchema
from models.times import iso_text

_SOURCE = "urn:counterfoil"
#: What stays inside: who asked, how long it took, and labels, of which an alert has none yet.
_INSIDE = ("caller", "latency_ms", "label", "label_known_at")


@dataclass(frozen=True, slots=True)
class Event:
    """What is sent.

    Attributes:
        id: of the event, the same whenever and wherever it is sent.
        body: JSON.
    """

    id: str
    body: bytes


class Unreadable(CounterfoilError):
    """What the log holds of a decision is not what the service writes there."""


class Events:
    """Makes events of decisions.

    Args:
        registry: holds the versions that decided; where one is gone, the ``schema`` that is active says what
            the transaction's time means.
    """

    def __init__(self, registry: Registry, schema: TransactionSchema) -> None:
        self._registry, self._schema = registry, schema
        self._schema_of = lru_cache(16)(self._find_schema)

    def of(self, decision: Decision, transaction: bool) -> Event:
        """An alert; with the transaction as it was read, or without.

        Raises:
            Unreadable: it cannot be told; says what is at fault, and nothing of what is recorded.
        """
        schema = self._schema_of(decision.model_version)
        try:
            answered = from_json(decision.reply)
            told = asdict(line(Recorded(decision, ()), schema))
            reasons, approximate = answered["reasons"], answered["approximate"]
        except KeyError as error:
            raise Unreadable(f"what was answered has no field {error}") from None
        except (ValueError, TypeError, OverflowError) as error:
            raise Unreadable(f"what is recorded cannot be read ({type(error).__name__})") from None
        inside = _INSIDE if transaction else (*_INSIDE, "transaction")
        data = {name: value for name, value in told.items() if name not in inside}
        data |= {"reasons": reasons, "approximate": approximate}
        subject = {} if decision.transaction_id is None else {"subject": decision.transaction_id}
        # A place is unique in one store; with the moment of arrival it is in all that ever were.
        event_id = f"alert_{decision.seq}_{decision.arrived_at}"
        return _event(event_id, f"alert.{decision.decision}", decision.arrived_at, data, subject)

    def _find_schema(self, version: str) -> TransactionSchema:
        try:
            return read_manifest(self._registry.folder(version)).transaction_schema
        except CounterfoilError:
            return self._schema


def trial_event() -> Event:
    """An event that says nothing, to see whether it arrives."""
    now = time.time_ns() // 1_000
    return _event(f"test_{uuid4().hex}", "test", now, {"text": "This is a test of the endpoint: no alert."}, {})


def _event(event_id: str, kind: str, at: int, data: dict[str, Any], more: dict[str, str]) -> Event:
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": _SOURCE,
        "type": f"counterfoil.{kind}",
        "time": iso_text(at),
        **more,
        "datacontenttype": "application/json",
        "data": data,
    }
    return Event(event_id, to_json(event))
