"""Simulated payments sent to a real server process: shared by parity and crash tests."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import polars as pl

from models.registry import Registry
from models.schema import TransactionSchema, load_schema
from models.scorer import Scorer
from models.thresholds import Policy
from tests.app.test_server import announced, start
from tests.waiting import FAR, until
from training.fit import FitOptions
from training.read import read_history
from training.simulate import SimulationConfig, simulate, write
from training.train import TrainingJob, train

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Payments:
    """A model trained on the first days of a simulation, and the payments of the days after.

    Attributes:
        frame: the columns of the profile's inputs, and is_fraud, in the order of time.
    """

    artifacts: Path
    scorer: Scorer
    frame: pl.DataFrame

    @property
    def schema(self) -> TransactionSchema:
        """Of the payments profile."""
        return self.scorer.schema


def prepare(folder: Path, config: SimulationConfig, training_days: int) -> Payments:
    """Simulate, and train a small model; it leaves the snapshot that the service begins with."""
    early = pl.col("timestamp").dt.date() < config.start + timedelta(days=training_days)
    write(simulate(config).filter(early), folder / "history.parquet")
    schema = load_schema("payments")
    registry = Registry(folder / "artifacts")
    options, policy = FitOptions(hidden=(16,), steps=80), Policy(name="alert-rate", value=0.05)
    job = TrainingJob(schema, options, policy, label_delay="0d")
    manifest, _ = train(job, read_history(schema, [folder / "history.parquet"]), registry)
    registry.activate(manifest.version)
    return prepared(folder, config, training_days)


def prepared(folder: Path, config: SimulationConfig, training_days: int) -> Payments:
    """What :func:`prepare` has left in a folder."""
    registry = Registry(folder / "artifacts")
    scorer = Scorer.load(registry.resolve(None))
    later = pl.col("timestamp").dt.date() >= config.start + timedelta(days=training_days)
    return Payments(registry.root, scorer, simulate(config).filter(later).select(*scorer.schema.inputs, "is_fraud"))


def small(seed: int) -> SimulationConfig:
    """About 3,000 payments after eight days of training."""
    return SimulationConfig(days=24, cards=200, merchants=80, fraud_rate=0.01, seed=seed, start=date(2026, 1, 1))


def bodies(frame: pl.DataFrame, schema: TransactionSchema) -> list[bytes]:
    """Each row as the JSON of a request."""
    text = pl.col(schema.timestamp or "").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    rows = frame.select(schema.inputs).with_columns(text).iter_rows(named=True)
    return [json.dumps(row).encode() for row in rows]


class Server:
    """A server process on one database, to be killed and started again; clients find its port here.

    Args:
        under: as for :func:`tests.app.test_server.start`.
        settings: environment variables of the process, over those that follow from the others.

    Attributes:
        starts: seconds from each start until it was ready.
    """

    def __init__(self, artifacts: Path, database: Path, under: Sequence[str] = (), **settings: str) -> None:
        self._artifacts, self._under = artifacts, under
        self._settings = {
            "COUNTERFOIL_DATABASE_URL": f"sqlite:///{database}",
            "COUNTERFOIL_LOG_LEVEL": "error",
            **settings,
        }
        self.url = self._settings["COUNTERFOIL_DATABASE_URL"]
        self._process: subprocess.Popen[str] | None = None
        self._ready = threading.Event()
        self.port = 0
        self.starts: list[float] = []

    def start(self, *, kill_after: float | None = None) -> bool:
        """Start it and wait until it is ready.

        Args:
            kill_after: kill it so many seconds after its start.

        Returns:
            Whether it became ready before it was killed.
        """
        began = time.perf_counter()
        process = self._process = start(self._artifacts, self._under, **self._settings)
        timer = threading.Timer(kill_after or 0, process.kill)
        if kill_after is not None:
            timer.start()
        found = announced(process)
        timer.cancel()
        if found is None:
            _, errors = process.communicate()
            assert process.returncode == -signal.SIGKILL, errors
            return False
        self.port, _ = found
        until(partial(_ready, self.port), "a server that is ready", not_yet=(ConnectionError,))
        self.starts.append(time.perf_counter() - began)
        self._ready.set()
        return True

    def end(self, number: signal.Signals) -> str:
        """Stop it and wait until it is gone; what it wrote to standard error."""
        process = self._process
        assert process is not None
        self._ready.clear()
        process.send_signal(number)
        _, errors = process.communicate(timeout=FAR)
        assert process.returncode == (-number if number == signal.SIGKILL else 0), errors
        return errors

    def close(self) -> None:
        """Kill it if a test has left it behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def wait(self) -> int:
        """The port, once it is ready."""
        assert self._ready.wait(FAR), "the server did not come back"
        return self.port


def _ready(port: int) -> bool:
    """Whether the server says so."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=FAR)) as connection:
        connection.request("GET", "/readyz")
        assert connection.getresponse().status == 200
        return True


class Client:
    """One connection, made anew where the server went away."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: http.client.HTTPConnection | None = None

    def once(self, path: str, body: bytes, **headers: str) -> tuple[int, bytes] | None:
        """Status and body of the answer; None where the connection broke before it came."""
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._server.wait(), timeout=FAR)
            self._connection.request("POST", path, body, _JSON | headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (ConnectionError, http.client.HTTPException):
            self.close()
            return None

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, bytes]:
        """Status and body of the answer; sent again where the connection broke, as a caller would."""
        return until(lambda: self.once(path, body, **headers), "an answer")

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def batch_of(rows: Sequence[bytes]) -> bytes:
    """The body of a batch request."""
    return b'{"transactions":[%b]}' % b",".join(rows)


def results_of(reply: bytes) -> list[bytes]:
    """The results of a batch's reply, byte for byte."""
    text, decode = reply.decode(), json.JSONDecoder().raw_decode
    at = text.index('"results":[') + len('"results":[')
    found = []
    while text[at] != "]":
        _, end = decode(text, at)
        found.append(text[at:end].encode())
        at = end + (text[end] == ",")
    return found


def label_body(transaction_id: str, label: str) -> bytes:
    """The body of a feedback request."""
    return json.dumps({"transaction_id": transaction_id, "label": label}).encode()
