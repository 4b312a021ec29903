"""Every endpoint of the file is sent to while it is there; what people change counts, and their mistakes do not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from standardwebhooks import Webhook

from app.webhooks.delivery import Delivery
from app.webhooks.endpoint_changes import add_endpoint, remove_endpoint, rotate_secret
from app.webhooks.endpoints import Endpoint
from app.webhooks.metrics import Metrics
from app.webhooks.sender import Make, send
from tests.app.store.events import append
from tests.app.webhooks.receiver import Receiver
from tests.app.webhooks.test_delivery import Sent, alert, sending  # noqa: F401
from tests.waiting import until


@contextmanager
def running(path: Path, make: Make) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=send, args=(path, make, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_the_file_is_followed(sending: Sent, receivers: Callable[..., Receiver], tmp_path: Path) -> None:  # noqa: F811
    store, source = sending
    path, receiver, second = tmp_path / "webhooks.json", receivers(), receivers()

    def add(name: str, url: str) -> Endpoint:
        return add_endpoint(path, name, url, decisions=["review"], allow_http=True, allow_private=True)

    old = add("queue", receiver.url).secrets[0].secret
    with source.cursors() as cursors:

        def make(one: Endpoint) -> Delivery:
            return Delivery(one, source.log, source.events, cursors, source.metrics)

        with running(path, make):
            until(lambda: cursors.of("queue"))
            append(store, alert("t1"))
            until(lambda: receiver.got)
            good = path.read_text()
            path.write_text("{")
            append(store, alert("t2"))
            until(lambda: len(receiver.got) == 2)
            path.write_text(good)
            new = rotate_secret(path, "queue", timedelta(days=1)).secrets[0].secret
            add("second", second.url)
            until(lambda: cursors.of("second"))  # both changes are one look's
            append(store, alert("t3"))
            until(lambda: len(receiver.got) == 3 and second.got)
            for secret in (old, new):
                assert Webhook(secret).verify(receiver.got[-1].body, receiver.got[-1].headers)
            remove_endpoint(path, "queue")
            until(lambda: "queue" not in lagging(source.metrics))
            append(store, alert("t4"))
            until(lambda: len(second.got) == 2)
    assert len(receiver.got) == 3


def lagging(metrics: Metrics) -> list[str]:
    """The endpoints whose lag is told: those that are sent to."""
    samples = (one for family in metrics.registry.collect() for one in family.samples)
    return [one.labels["endpoint"] for one in samples if one.name == "counterfoil_webhook_lag_seconds"]
