"""Several processes that answer on one port, from one shared store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from socket import socket

from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app.address import handles
from app.pseudonyms import Pseudonyms
from app.recording.opening import open_to_record
from app.recording.startup import Recovered, recover
from app.recording.state_cache import StateCache
from app.settings import Settings
from models.behaviour.events import Behaviour
from models.errors import CounterfoilError
from models.scorer import Scorer

#: Seconds until a worker that says nothing is replaced. It is silent while it imports, for long on a busy machine.
ANSWERING = 30


def prepare(settings: Settings, scorer: Scorer, workers: int) -> tuple[Recovered, Sequence[str]]:
    """Begin the store, so that the workers find it begun. Returns what was found, and the store's risks.

    Raises:
        CounterfoilError: the store cannot be had, or belongs to one process.
    """
    pseudonyms = Pseudonyms.open(settings, scorer.schema)
    store, ready = open_to_record(settings, scorer, pseudonyms)
    with closing(store):
        if not store.shared:
            raise CounterfoilError(
                f"--workers {workers}: this store belongs to one process, which holds the states of cards in its "
                "memory; let several processes share one with COUNTERFOIL_DATABASE_URL=postgresql://HOST/NAME or "
                "redis://HOST"
            )
        states = StateCache(store, Behaviour(scorer.schema), 0)
        recovered = recover(store, scorer, states, pseudonyms)
        return ready or recovered, store.risks


def supervise(config: Config, listener: socket) -> None:
    """Keep them running until SIGTERM or SIGINT.

    Raises:
        CounterfoilError: one of them could not start; the others have been stopped.
    """
    supervisor = Multiprocess(config, sockets=handles(listener))
    supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise CounterfoilError("a worker could not start, so all were stopped; its line in the log says why")
