"""What Schemathesis cannot know from the document: which times are past or to come, what a CSV of transactions is."""

from __future__ import annotations

import csv
import io
import json
import os
from datetime import UTC, datetime

import schemathesis
from hypothesis import strategies as st

#: The columns and one transaction, as JSON.
EXAMPLE = "COUNTERFOIL_TEST_EXAMPLE"
#: Past, and near enough to each other that none comes too late for its card.
_FROM, _TO = datetime(2026, 1, 1), datetime(2026, 1, 25)
_LATER, _END = datetime(2900, 1, 1), datetime(2999, 1, 1)


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _table(amounts: list[int]) -> bytes:
    example = json.loads(os.environ[EXAMPLE])
    file = io.StringIO()
    writer = csv.DictWriter(file, example)
    writer.writeheader()
    writer.writerows({**example, "amount": amount / 100} for amount in amounts)
    return file.getvalue().encode()


schemathesis.openapi.format("date-time", st.datetimes(_FROM, _TO, timezones=st.just(UTC)).map(_text))
schemathesis.openapi.format("date-time-to-come", st.datetimes(_LATER, _END, timezones=st.just(UTC)).map(_text))
schemathesis.openapi.media_type("text/csv", st.lists(st.integers(1, 10**8), max_size=3).map(_table))
