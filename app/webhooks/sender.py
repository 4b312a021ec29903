"""Sends to every endpoint of the file, each in a thread of its own, and follows what people change there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from app.file_signature import file_signature
from app.store.errors import StoreUnavailable
from app.webhooks.delivery import EVERY, Delivery
from app.webhooks.endpoints import Endpoint, read_endpoints
from models.errors import InvalidInput

#: Seconds between looks at the file.
_LOOK = 1.0
_log = logging.getLogger(__name__)
Make = Callable[[Endpoint], Delivery]


def send(path: Path, make: Make, stop: threading.Event) -> None:
    """Send until told to stop; attempts that are under way are waited for.

    Args:
        path: of the file of endpoints. A change counts within a second; one that is wrong changes nothing.

    Raises:
        InvalidInput: the file is wrong at the beginning.
    """
    signature = file_signature(path)
    threads: dict[str, _Thread] = {}
    _take_over(read_endpoints(path), threads, make)
    try:
        while not stop.wait(_LOOK):
            if (seen := file_signature(path)) != signature:
                signature = seen
                try:
                    _take_over(read_endpoints(path), threads, make)
                except InvalidInput as error:
                    _log.error("the file of webhook endpoints cannot be used, the endpoints before stay: %s", error)
    finally:
        _take_over((), threads, make)


def _take_over(endpoints: tuple[Endpoint, ...], threads: dict[str, _Thread], make: Make) -> None:
    """Let exactly these endpoints be sent to."""
    left = [threads.pop(name) for name in threads.keys() - {one.name for one in endpoints}]
    for thread in left:
        thread.stop.set()
    for thread in left:
        thread.join()
    for one in endpoints:
        if one.name in threads:
            threads[one.name].endpoint = one
        else:
            threads[one.name] = _Thread(one, make)
            threads[one.name].start()


class _Thread(threading.Thread):
    """One endpoint; another one of the same name may take its place at any time."""

    def __init__(self, endpoint: Endpoint, make: Make) -> None:
        super().__init__(name=f"webhook-{endpoint.name}", daemon=True)
        self.endpoint, self._make, self.stop = endpoint, make, threading.Event()

    def run(self) -> None:
        delivery: Delivery | None = None
        while not self.stop.is_set():
            pause = EVERY
            try:
                if delivery is None:
                    delivery = self._make(self.endpoint)
                delivery.endpoint = self.endpoint
                pause = delivery.step()
            except StoreUnavailable as error:
                _log.warning("the store cannot be read: %s; looking again", error)
            except Exception:  # noqa: BLE001 - the others go on, and so may this one
                _log.exception("webhook %s: cannot go on; trying again", self.endpoint.name)
            self.stop.wait(pause)
        if delivery is not None:
            delivery.close()
