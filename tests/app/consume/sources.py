"""Brokers with transactions on them, and workers that read them: Kafka and Redis alike."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests import servers
from tests.app.test_server import ROOT
from tests.kafka_cluster import Cluster, cluster
from tests.waiting import FAR, until


@dataclass(frozen=True)
class DeadLetter:
    """What lies there; ``why`` by name."""

    value: bytes | None
    why: Mapping[str, str]


class Source(Protocol):
    """A topic or stream of its own.

    Attributes:
        url: for a worker.
        options: for a worker, too.
    """

    url: str
    options: Mapping[str, object]

    def send(self, values: Sequence[bytes]) -> None:
        """Write messages, in this order."""

    def dead_letters(self, most: int) -> list[DeadLetter]:
        """The first so many, once they are there."""

    def results(self, most: int) -> list[bytes]:
        """The same of answers."""


class KafkaSource:
    """A topic of four partitions."""

    def __init__(self, kafka: Cluster, folder: Path) -> None:
        self._kafka, self._topic = kafka, f"payments-{secrets.token_hex(4)}"
        kafka.create(self._topic, 4)
        for topic in ("dead-letters", "results"):
            kafka.create(f"{self._topic}-{topic}")
        properties = folder / "kafka.properties"  # a killed worker's place is free sooner
        properties.write_text("# quick\nsession.timeout.ms = 1000\nheartbeat.interval.ms=200\n")
        self.url = f"kafka://{kafka.servers}/{self._topic}"
        self.options: Mapping[str, object] = {"properties": str(properties), "results": f"{self._topic}-results"}

    def send(self, values: Sequence[bytes]) -> None:
        """See the protocol."""
        self._kafka.send(self._topic, [*values])

    def dead_letters(self, most: int) -> list[DeadLetter]:
        """See the protocol."""
        found = self._kafka.read(f"{self._topic}-dead-letters", most)
        return [
            DeadLetter(
                _bytes(one.value()),
                {name.removeprefix("counterfoil."): _text(value) for name, value in dict(one.headers() or []).items()},
            )
            for one in found
        ]

    def results(self, most: int) -> list[bytes]:
        """See the protocol."""
        return [_bytes(one.value()) or b"" for one in self._kafka.read(f"{self._topic}-results", most)]


class RedisSource:
    """A stream."""

    def __init__(self, url: str) -> None:
        from redis import Redis

        self.client = Redis.from_url(url)
        self.stream = f"payments-{secrets.token_hex(4)}"
        self.client.xgroup_create(self.stream, "counterfoil", "0", mkstream=True)
        self.url = f"{url}/{self.stream}"
        self.options: Mapping[str, object] = {"results": f"{self.stream}-results"}

    def send(self, values: Sequence[bytes]) -> None:
        """See the protocol."""
        for start in range(0, len(values), 1_000):
            pipeline = self.client.pipeline(transaction=False)
            for value in values[start : start + 1_000]:
                pipeline.xadd(self.stream, {"transaction": value})
            pipeline.execute()

    def dead_letters(self, most: int) -> list[DeadLetter]:
        """See the protocol."""
        found = self._read("dead-letters", most)
        return [
            DeadLetter(
                entry.get(b"transaction"),
                {name.decode(): value.decode() for name, value in entry.items() if name != b"transaction"},
            )
            for entry in found
        ]

    def results(self, most: int) -> list[bytes]:
        """See the protocol."""
        return [entry[b"result"] for entry in self._read("results", most)]

    def _read(self, kind: str, most: int) -> list[dict[bytes, bytes]]:
        stream = f"{self.stream}-{kind}"
        until(lambda: self.client.xlen(stream) >= most, f"entries of {kind}")
        found: Any = self.client.xrange(stream, count=most)
        return [entry for _, entry in found]


@contextmanager
def source(kind: str, folder: Path) -> Iterator[Source]:
    """A source, ``kafka`` or ``redis``."""
    if kind == "redis":
        yield RedisSource(servers.redis())
    else:
        with cluster() as kafka:
            yield KafkaSource(kafka, folder)


@dataclass
class Worker:
    """A worker process; its log is read as it comes."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            self.lines.extend(stream)

    @property
    def log(self) -> str:
        """What it has written to standard error so far."""
        return "".join(self.lines)

    def says(self, text: str) -> None:
        """Wait until it says so."""
        until(lambda: text in self.log, f"a worker that says {text!r}")

    def end(self, number: signal.Signals | None = None) -> str:
        """Wait until it is gone, after a signal if one is given; its log."""
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(FAR)
        self._reader.join()
        assert code == (-number if number == signal.SIGKILL else 0), self.log
        return self.log


#: As ``counterfoil consume``, without what it takes to read options and to print help.
CONSUME = """
import json
import sys
from pathlib import Path
from app.consume.run import Options, run
from app.telemetry import logs
logs.configure("info", "json")
told = json.loads(sys.argv[1])
run(Options(**told | {"properties": told.get("properties") and Path(told["properties"])}))
"""


def worker(where: Source, port: int, **options: object) -> Worker:
    """Start one that has a source's messages scored by the service at a port.

    Args:
        options: of :class:`app.consume.run.Options`.
    """
    told = {"url": where.url, "service": f"http://127.0.0.1:{port}", **where.options, **options}
    command = [sys.executable, "-W", "error", "-c", CONSUME, json.dumps(told)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return Worker(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""
