"""A receiver, endpoints, and alerts in each kind of store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from app.webhooks.endpoints import Endpoint, Secret
from app.webhooks.signature import new_secret
from tests.app.store.conftest import (  # noqa: F401
    backend,
    opened,
    postgresql_backend,
    postgresql_server,
    redis_backend,
    shared_postgresql_backend,
    sqlite_backend,
)
from tests.app.webhooks.receiver import Receiver


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    """Makes receivers, which are stopped at the end."""
    made: list[Receiver] = []

    def make(*arguments: Any, **more: Any) -> Receiver:
        made.append(Receiver(*arguments, **more))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def endpoint(url: str, name: str = "queue", **changes: Any) -> Endpoint:
    """An endpoint on this machine."""
    given: dict[str, Any] = {
        "secrets": (Secret(secret=new_secret()),),
        "allow_http": True,
        "allow_private": True,
        "enabled_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Endpoint(name=name, url=url, **(given | changes))
