"""How many modules of the project one transaction enters on its way, and how often a table's rows are parsed.

    python benchmarks/entries.py                           # trains a small model first; all of it is a tiny run
    python benchmarks/entries.py --artifacts artifacts     # with the active model of a registry
    python benchmarks/entries.py --list                    # and which module is entered how often

An entry is a call of a function in ``app/`` or ``models/`` from another file, those of libraries included: what a
reader has to open to follow the request. What a dataclass writes itself is not seen, of compiled functions only the
first call, and a coroutine that goes on after waiting is not entered again. Counted in all threads, without a server,
once everything is warm. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dis
import functools
import io
import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import httpx
import polars as pl

import counterfoil
from app.requests.example import example_transaction
from app.service import create_app
from app.settings import Settings
from models.registry import Registry
from models.schema import TransactionSchema, load_schema
from models.scorer import Scorer
from models.thresholds import Policy
from training.fit import FitOptions
from training.read import read_history
from training.simulate import SimulationConfig, simulate, write
from training.train import TrainingJob, train

ROOT = Path(__file__).parents[1]
_SOURCES = tuple(f"{ROOT / folder}{os.sep}" for folder in ("app", "models"))
_GOES_ON = 0x20 | 0x80 | 0x200  # generators, coroutines, asynchronous generators
_ROWS = 50


class Entries:
    """What is entered while it is switched on: calls by module, and the rows that were parsed.

    Set as the profile function of all threads before these start.
    """

    def __init__(self) -> None:
        self.on = False
        self.modules: Counter[str] = Counter()
        self.parsed = 0

    def reset(self) -> None:
        """Begin anew."""
        self.modules.clear()
        self.parsed = 0
        self.on = True

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Count the call where it is one from another file."""
        if not (self.on and event == "call"):
            return
        code = frame.f_code
        if not code.co_filename.startswith(_SOURCES):
            return
        if code.co_name == "parse_rows":
            self.parsed += frame.f_locals["frame"].height
        caller = frame.f_back
        if caller is not None and caller.f_code.co_filename == code.co_filename:
            return
        if code.co_flags & _GOES_ON and frame.f_lasti > _begins(code):
            return
        path = Path(code.co_filename).relative_to(ROOT)
        self.modules[".".join(path.with_suffix("").parts).removesuffix(".__init__")] += 1


@functools.cache
def _begins(code: CodeType) -> int:
    """The instruction that a function stops at when it is called for the first time."""
    return next(one.offset for one in dis.get_instructions(code) if one.opname == "RESUME")


def model(folder: Path) -> tuple[Path, pl.DataFrame]:
    """A small model with behaviour features, and payments of the days after its training."""
    config = SimulationConfig(days=16, cards=200, merchants=80, fraud_rate=0.01, seed=3, start=date(2026, 1, 1))
    frame = simulate(config)
    early = pl.col("timestamp").dt.date() < date(2026, 1, 9)
    write(frame.filter(early), folder / "history.parquet")
    schema, registry = load_schema("payments"), Registry(folder / "artifacts")
    options, policy = FitOptions(hidden=(16,), steps=80), Policy(name="alert-rate", value=0.05)
    job = TrainingJob(schema, options, policy, label_delay="0d")
    manifest, _ = train(job, read_history(schema, [folder / "history.parquet"]), registry)
    registry.activate(manifest.version)
    return registry.root, frame.filter(~early)


def transactions(scorer: Scorer, rows: int) -> list[dict[str, Any]]:
    """The model's example under different ids."""
    own = scorer.schema.id
    example = example_transaction(scorer.schema, scorer.vocabulary, scorer.bundle.golden)
    return [{**example, **({own: f"try-{row}"} if own else {})} for row in range(rows)]


def csv_of(rows: list[dict[str, Any]], schema: TransactionSchema) -> bytes:
    """The same as a table."""
    return pl.DataFrame(rows).select(schema.inputs).write_csv().encode()


async def measured(entries: Entries, send: Callable[[], Awaitable[httpx.Response]]) -> None:
    """Send a request and count what it enters, its thread's last steps included."""
    entries.reset()
    answer = await send()
    entries.on = False
    if answer.status_code != 200:
        raise SystemExit(answer.text)


def command(*arguments: str | Path) -> None:
    """Run ``counterfoil`` in this process."""
    sys.argv = ["counterfoil", *map(str, arguments)]
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            counterfoil.main()
        except SystemExit as stop:
            if stop.code:
                raise


def report(name: str, entries: Entries, rows: int, *, listed: bool) -> None:
    """One row of the table."""
    times = entries.parsed / rows
    print(f"| {name} | {len(entries.modules)} | {entries.modules.total():,} | {times:g} |", flush=True)
    if listed:
        for module, count in entries.modules.most_common():
            print(f"    {count:6} {module}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, help="a registry whose active model is used; else one is trained")
    parser.add_argument("--list", action="store_true", help="the modules, too")
    options = parser.parse_args()
    entries = Entries()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artifacts = options.artifacts or model(folder)[0]
        threading.setprofile(entries)
        sys.setprofile(entries)
        print("| one | modules | entries | parsed, times |\n|---|---|---|---|")
        asyncio.run(over_http(entries, artifacts, folder, listed=options.list))
        by_command(entries, artifacts, folder, listed=options.list)


async def over_http(entries: Entries, artifacts: Path, folder: Path, *, listed: bool) -> None:
    """A transaction as JSON, and a CSV of one row."""
    scorer = Scorer.load(Registry(artifacts).resolve(None))
    app = create_app(Settings(database_url=f"sqlite:///{folder / 'http.db'}", log_level="error"), scorer)
    first, *more = transactions(scorer, 3)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for path in ("/v1/score?reasons=3", "/v1/score/csv?reasons=3"):
            await client.post(path, **_sent(path, first, scorer.schema))  # warms
        for row, path, told in (
            (more[0], "/v1/score?reasons=3", "transaction as JSON"),
            (more[1], "/v1/score/csv?reasons=3", "CSV row over HTTP"),
        ):
            sent = _sent(path, row, scorer.schema)
            await measured(entries, functools.partial(client.post, path, **sent))
            report(told, entries, 1, listed=listed)
    await asyncio.to_thread(app.state.serving.close)


def _sent(path: str, row: dict[str, Any], schema: TransactionSchema) -> dict[str, Any]:
    if path.startswith("/v1/score/csv"):
        return {"content": csv_of([row], schema), "headers": {"Content-Type": "text/csv"}}
    return {"json": row}


def by_command(entries: Entries, artifacts: Path, folder: Path, *, listed: bool) -> None:
    """A table on disk, scored and recorded."""
    scorer = Scorer.load(Registry(artifacts).resolve(None))
    table = folder / "rows.csv"
    table.write_bytes(csv_of(transactions(scorer, _ROWS), scorer.schema))
    common = (table, "--artifacts", artifacts, "--reasons", "3", "--out")
    recording = ("--state", "live", "--record", "--database", f"sqlite:///{folder / 'reject.db'}")
    stopping = (*recording[:-1], f"sqlite:///{folder / 'stop.db'}")
    command("score", *common, folder / "warm.csv")
    for told, more in (
        ("table", ()),
        ("table, --record --on-error reject", (*recording, "--on-error", "reject")),
        ("table, --record --on-error stop", (*stopping, "--on-error", "stop")),
    ):
        entries.reset()
        command("score", *common, folder / "out.csv", *more)
        entries.on = False
        report(f"{told} of {_ROWS} rows", entries, _ROWS, listed=listed)


if __name__ == "__main__":
    main()
