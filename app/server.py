"""Run the service: load the model, take the port, say how to use it, serve until told to stop."""

from __future__ import annotations

import asyncio
import json
import logging
import shlex
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, cast

import uvicorn

from app.access.exposure import require_keys, say_keys
from app.access.keys import read_keys
from app.address import handles, listen, url
from app.http.edge import Edge
from app.http.limits import limits_of, most_files
from app.recording.startup import Recovered
from app.reload.crew import Together
from app.requests.example import example_transaction
from app.service import create_app, load_scorer
from app.settings import Settings, port_of_kubernetes, share_metrics
from app.store.open import shared_url
from app.telemetry import logs
from app.worker import worker
from app.workers import ANSWERING, prepare, supervise
from models.behaviour.compiled import cache_trouble

_log = logging.getLogger(__name__)


def run(settings: Settings, workers: int = 1) -> None:
    """Serve until SIGTERM or SIGINT; requests in flight finish, then the process may exit with 0.

    Args:
        workers: processes that answer; more than one need a store that several processes may share.

    Raises:
        ModelNotFound: there is no model to serve.
        InvalidBundle: the model is damaged.
        CounterfoilError: the address, the port or the store cannot be had; several workers cannot share the store, or
            one of them cannot start; the address can be reached from other machines and there is no API key; the keys
            cannot be read.
    """
    keys = read_keys(settings.keys_file)
    scorer = load_scorer(settings)
    listener = listen(settings.host, settings.port)
    require_keys(listener, keys, settings.keys_file)
    if workers > 1:
        settings = settings.model_copy(update={"database_url": shared_url(settings.database_url, shared=True)})
        recovered, risks = prepare(settings, scorer, workers)
        shared = tempfile.TemporaryDirectory(prefix="counterfoil-workers-")
        together = Together(Path(shared.name))
        together.crew.serve(scorer.bundle.path)
        share_metrics(together.metrics)
        app: Any = partial(worker, settings, Path(shared.name))  # each worker makes its own
    else:
        app = create_app(settings, scorer)
        recorder = app.state.serving.ledger.recorder
        recovered, risks = recorder.recovered, recorder.store.risks
    _say_recovered(recovered)
    example = example_transaction(scorer.schema, scorer.vocabulary, scorer.bundle.golden)
    address = url(settings.host, listener.getsockname()[1])
    if settings.pseudonymise:
        print(f"Stored as a keyed hash: {settings.pseudonymise}.")
    print(f"Serving model {scorer.manifest.version}. API page: {address}/docs. Score a transaction:\n")
    print(curl(address, example, keyed=keys is not None) + "\n", flush=True)
    say_keys(keys, settings.keys_file)
    if settings.console and not settings.database_url.startswith("redis"):
        print(f"Console for analysts: {address}/console", flush=True)
    logs.configure(settings.log_level, settings.log_format)
    if port_of_kubernetes():
        _log.info("COUNTERFOIL_PORT is what Kubernetes sets for a Service of this name, not a setting: ignored")
    unkept = cache_trouble() if scorer.schema.entity else None
    for risk in (*risks, *([unkept] if unkept else [])):
        _log.warning("%s", risk)
    limits = limits_of(settings)
    if limits.connections < settings.max_connections:
        _log.warning(
            "%s connections at most, not %s: this process may open %s files (ulimit -n)",
            *(f"{count:,}" for count in (limits.connections, settings.max_connections, most_files())),
        )
    config = uvicorn.Config(
        app,
        factory=workers > 1,
        workers=workers,
        timeout_worker_healthcheck=ANSWERING,
        http=cast("type[asyncio.Protocol]", Edge(limits)),  # uvicorn calls it, as it would a class
        timeout_keep_alive=settings.keep_alive_seconds,
        loop="auto" if sys.platform == "win32" else "uvloop",
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    # When uvicorn has stopped because of a signal it raises the signal again, for the handler it found here.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit)
    if workers > 1:
        with shared:
            supervise(config, listener)
    else:
        uvicorn.Server(config).run(sockets=handles(listener))


def _say_recovered(recovered: Recovered) -> None:
    if recovered.older:
        print("The store goes on from the states it has; those of this model's own training data are not used.")
    if recovered.base:
        print(f"States of {recovered.base:,} cards, merchants and others taken from the model's training data.")
    if recovered.rebuilt:
        print("The model's [entity] sections have changed: states made anew from the log.")
    if recovered.events:
        print(f"{recovered.events:,} events of the log replayed.")


def curl(address: str, example: dict[str, Any], *, keyed: bool) -> str:
    """A command for a POSIX shell that scores the example; ``keyed``: with the API key in the variable KEY."""
    body = shlex.quote(json.dumps(example, ensure_ascii=False))
    key = '-H "Authorization: Bearer $KEY" ' if keyed else ""
    return f"curl -s {shlex.quote(address + '/v1/score')} {key}-H 'Content-Type: application/json' -d {body}"


def _exit(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)
