"""How long callers wait with three challengers in the shadow, beside without any: the two take turns, window by window.

    python benchmarks/shadow.py                              # seven minutes; trains a small model first
    python benchmarks/shadow.py --seconds 1 --pairs 2        # a tiny run

`counterfoil serve`, tied to one core, answers payments that arrive at a fixed rate, whether or not the ones before are
answered; a wait counts from the moment that a payment was due. `counterfoil shadow` follows with three challengers. In
every second window it is stopped (SIGSTOP), so that in the others it also makes up for what it missed. Which of the two
comes first in a pair alternates. Quantiles of all waits together, and those of the typical window, which a stall of the
machine does not decide; their intervals are from resampling pairs. (Linux)
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from serving import ROOT, Transactions, fit_small, start

from app.shadow.results import Results
from models.registry import Registry
from models.rethreshold import rethreshold
from models.scorer import Scorer
from models.thresholds import Policy

CONNECTIONS, RESAMPLES = 8, 2_000


async def window(port: int, request: Transactions, rate: float, seconds: float) -> list[float]:
    """Seconds that each payment of a window waited."""
    waits: list[float] = []
    begun = time.perf_counter() + 0.1
    due = iter(begun + number / rate for number in range(int(rate * seconds)))

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for moment in due:
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
            writer.write(request())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(head.decode())
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
            json.loads(await reader.readexactly(length))
            waits.append(time.perf_counter() - moment)
        writer.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return waits


def pooled(windows: list[list[float]], quantile: float) -> float:
    """A quantile of the waits of all windows together: one stall of the machine may decide it."""
    return float(np.percentile(np.concatenate(windows), quantile))


def typical(windows: list[list[float]], quantile: float) -> float:
    """The median of the windows' own quantiles."""
    return float(np.median([np.percentile(waits, quantile) for waits in windows]))


def ratio(
    pairs: list[tuple[list[float], list[float]]], of: Callable[[list[list[float]], float], float], quantile: float
) -> tuple[float, float, float]:
    """A quantile with the shadow over the same without, and its 95 % interval."""

    def look(chosen: list[tuple[list[float], list[float]]]) -> float:
        without, beside = zip(*chosen, strict=True)
        return of(list(beside), quantile) / of(list(without), quantile)

    random = np.random.default_rng(0)
    again = [look([pairs[i] for i in random.integers(0, len(pairs), len(pairs))]) for _ in range(RESAMPLES)]
    return look(pairs), *np.percentile(again, [2.5, 97.5]).tolist()


def in_turn(
    pid: int, port: int, request: Transactions, arguments: argparse.Namespace
) -> list[tuple[list[float], list[float]]]:
    """Pairs of windows, without and with a process at work; it is at work at the end."""
    pairs = []
    for number in range(arguments.pairs):
        waits: dict[bool, list[float]] = {}
        for beside in (number % 2 == 0, number % 2 == 1):
            os.kill(pid, signal.SIGCONT if beside else signal.SIGSTOP)
            waits[beside] = asyncio.run(window(port, request, arguments.rate, arguments.seconds))
        pairs.append((waits[False], waits[True]))
    os.kill(pid, signal.SIGCONT)
    return pairs


def show(pairs: list[tuple[list[float], list[float]]]) -> None:
    """Print median and 99th percentile as a Markdown table, of all waits and of the typical window."""
    print("| | without ms | with ms | ratio |\n|---|---|---|---|")
    for of, quantile in itertools.product((pooled, typical), (50, 99)):
        without, beside = (of([pair[side] for pair in pairs], quantile) * 1e3 for side in (0, 1))
        value, low, high = ratio(pairs, of, quantile)
        print(f"| {of.__name__} p{quantile} | {without:.2f} | {beside:.2f} | {value:.3f} ({low:.3f} to {high:.3f}) |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=100, help="payments per second")
    parser.add_argument("--seconds", type=float, default=5.0, help="per window")
    parser.add_argument("--pairs", type=int, default=40, help="of windows")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        registry = Registry(fit_small(folder, behaviour=True))
        active = registry.resolve(None)
        rates = (0.01, 0.02, 0.05)
        versions = [rethreshold(active, registry, Policy(name="alert-rate", value=rate))[0].version for rate in rates]
        scorer = Scorer.load(active)
        end = datetime.fromisoformat(scorer.manifest.training.calibration.end or "") + timedelta(days=1)
        request = Transactions(scorer, "/v1/score", itertools.count(), end.replace(tzinfo=None))
        database, file = folder / "log.db", folder / "shadow.db"
        server = start(stack, registry.root, database)
        command = [sys.executable, str(ROOT / "counterfoil.py"), "shadow", *versions]
        command += ["--artifacts", str(registry.root), "--database", f"sqlite:///{database}"]
        asyncio.run(window(server.port, request, arguments.rate, min(5, arguments.seconds)))
        shadow = stack.enter_context(
            subprocess.Popen(command, env={**os.environ, "COUNTERFOIL_SHADOW_FILE": str(file)}, stdout=subprocess.PIPE)
        )
        stack.callback(shadow.kill)
        assert shadow.stdout is not None
        shadow.stdout.readline()  # it follows
        pairs = in_turn(shadow.pid, server.port, request, arguments)
        sent, done = next(request.counter), 0
        while done < sent:
            with closing(Results(file, writes=False)) as results:
                done = min(len(results.columns(version, 10**6).seq) for version in versions)
            time.sleep(0.2)
        print(f"{arguments.rate:g} payments/s, {sent:,} decisions, each decided again by {len(versions)} challengers\n")
        show(pairs)


if __name__ == "__main__":
    main()
