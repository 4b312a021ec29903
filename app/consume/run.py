"""Puts a worker together from what it was told, and runs it."""

from __future__ import annotations

import logging
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from app.consume.address import Address, parse, read_properties
from app.consume.broker import Broker
from app.consume.progress import Progress
from app.consume.scoring import Scoring
from app.consume.worker import Stop, Worker
from models.errors import InvalidInput

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """What a worker is told.

    Attributes:
        url: of the broker, with the topic or stream.
        service: URL of the service.
        key_file: with the API key.
        group: that shares the messages.
        name: of this worker in it.
        results, dead_letters: topic or stream for answers and for what can never be scored; of the latter, by default,
            the source's name and ``-dead-letters``.
        field: of an entry of a stream, that holds the transaction.
        claim_after: seconds after which a silent worker's entries of a stream are taken over.
        batch: most messages of one request.
        reasons: for each transaction; None for the service's default.
        refused_in_a_row: so many refusals stop the worker; 0 for none.
        properties: file with properties of the broker's client.
        metrics: ``HOST:PORT`` to show them at.
        once: stop at the end of what there is.
    """

    url: str
    service: str
    key_file: Path | None = None
    group: str = "counterfoil"
    name: str | None = None
    results: str | None = None
    dead_letters: str | None = None
    field: str = "transaction"
    claim_after: float = 60.0
    batch: int = 500
    reasons: int | None = None
    refused_in_a_row: int = 100
    properties: Path | None = None
    metrics: str | None = None
    once: bool = False


def run(options: Options) -> None:
    """Work until told to stop by SIGTERM or SIGINT.

    Raises:
        InvalidInput: an option cannot be used.
        CounterfoilError: the broker or the service will not have this worker.
    """
    address = parse(options.url)
    metrics = None if options.metrics is None else _host_and_port(options.metrics)
    with Stop() as stop, closing(_broker(address, options)) as broker:
        worker = Worker(broker, options.batch, options.refused_in_a_row, stop)
        scoring = Scoring(options.service, options.key_file, options.reasons, worker.wait)
        progress = Progress(broker.lag, lambda: scoring.waited)
        if metrics is not None:
            progress.serve(*metrics)
        _log.info("reading %s, scoring at %s", options.url, options.service)
        with closing(scoring):
            worker.run(scoring, progress, once=options.once)


def _broker(address: Address, options: Options) -> Broker:
    """The broker's client. Each kind imports what it needs: nobody needs both."""
    dead_letters = options.dead_letters or f"{address.source}-dead-letters"
    if address.source in (dead_letters, options.results):
        raise InvalidInput("results and dead letters must not go where the transactions come from")
    properties = read_properties(options.properties)
    if address.kind == "kafka":
        try:
            from app.consume.kafka import Kafka  # noqa: PLC0415
        except ImportError:
            raise InvalidInput("Kafka needs its client: pip install 'counterfoil[kafka]'") from None
        return Kafka(address, options.group, options.name, options.results, dead_letters, properties)
    try:
        from app.consume.redis import RedisStream  # noqa: PLC0415
    except ImportError:
        raise InvalidInput("Redis needs its client: pip install 'counterfoil[redis]'") from None
    return RedisStream(
        address,
        options.group,
        options.name or socket.gethostname(),
        options.results,
        dead_letters,
        options.field,
        options.claim_after,
        properties,
    )


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise InvalidInput("--metrics: expected HOST:PORT, e.g. 127.0.0.1:9100")
    return host.strip("[]"), int(port)
