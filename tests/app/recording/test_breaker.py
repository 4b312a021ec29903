"""A store that fails is tried beside the requests, not by each of them, and is used again once it takes writes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from app.recording.breaker import Breaker
from app.service import create_app
from app.settings import Settings
from app.store.errors import StoreUnavailable
from models.scorer import Scorer
from tests import private_servers
from tests.app.calls import Client
from tests.waiting import until


class Store:
    """Fails until it is mended; its tries wait to be let through."""

    def __init__(self) -> None:
        self.mended = False
        self.uses: list[str] = []
        self.may = threading.Semaphore(0)
        self.tried = threading.Semaphore(0)

    def use(self) -> str:
        self.uses.append(threading.current_thread().name)
        if not self.mended:
            raise StoreUnavailable("gone")
        return "done"

    def attempt(self) -> None:
        self.may.acquire()
        try:
            self.use()
        finally:
            self.tried.release()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def breaker(store: Store) -> Iterator[Breaker]:
    found = Breaker(store.attempt, lambda: "they wait", retry_seconds=0.0)
    yield found
    store.may.release(1_000)
    found.close()


def fail(breaker: Breaker, store: Store) -> None:
    with pytest.raises(StoreUnavailable, match="gone"):
        breaker.run(store.use)


def test_who_comes_while_it_fails_does_not_use_it(breaker: Breaker, store: Store) -> None:
    for _ in range(50):
        fail(breaker, store)
    assert store.uses == ["MainThread"]
    assert breaker.proven
    for tries in range(3):
        store.may.release()
        store.tried.acquire()
        fail(breaker, store)
        assert store.uses == ["MainThread", *["store-retry"] * (tries + 1)]


def test_it_is_used_again_once_a_try_went_well(breaker: Breaker, store: Store) -> None:
    fail(breaker, store)
    store.mended = True
    assert breaker.failure is not None
    store.may.release()
    until(lambda: breaker.failure is None)
    assert breaker.run(store.use) == "done"
    store.mended = False
    fail(breaker, store)  # and again
    assert breaker.failure is not None


def test_what_is_no_failure_of_the_store_passes_through(breaker: Breaker) -> None:
    with pytest.raises(ZeroDivisionError):
        breaker.run(lambda: 1 // 0)
    assert breaker.failure is None
    assert not breaker.proven


def test_a_failure_that_goes_on_is_not_told_at_each_try(
    breaker: Breaker, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    fail(breaker, store)
    for _ in range(20):
        store.may.release()
        store.tried.acquire()
    store.mended = True
    store.may.release()
    until(lambda: breaker.failure is None)
    said = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert said[0] == (logging.ERROR, "the store takes no writes: gone; they wait")
    assert [message for _, message in said[1:]] == ["the store is back after 0 s"]


@pytest.mark.parametrize("mode", ["refuse", "score"])
def test_readiness_needs_no_request_to_fail_first(
    tiny_scorer: Scorer, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    with private_servers.redis() as server:
        settings = Settings(database_url=server.url, on_store_failure="score" if mode == "score" else "refuse")
        app = create_app(settings, tiny_scorer)
        client = Client(app)
        server.kill()  # before anything proved that it takes writes
        for _ in range(3):
            answer = client.get("/readyz")
            if mode == "refuse":
                assert answer.status_code == 503
                assert answer.headers["Retry-After"] == "1"
                assert "the service's log says why" in answer.json()["detail"]
            else:
                assert (answer.status_code, answer.json()["logging"]) == (200, False)
            assert "127.0.0.1" not in answer.text
        assert caplog.text.count("the store takes no writes: Redis at 127.0.0.1:") == 1
        server.start()
        until(lambda: client.get("/readyz").json().get("logging") is True)
        app.state.serving.close()
