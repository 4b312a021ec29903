"""Batch scoring of a CSV: time and memory of ``counterfoil score``, beside Polars' and pandas' bare read and write.

    python benchmarks/batch.py                          # 285,000 rows x 31 columns, as the public ULB table has
    python benchmarks/batch.py --rows 2000 --runs 1     # a tiny run

Each is a process of its own, from its start to the closed file, run in turn several times; the table shows medians, and
the ratio to Polars pair by pair. What Polars takes to read and write is the floor: nobody who reads and writes a CSV is
faster. Processor seconds say more than wall seconds on a busy machine. --copies N scores the same rows N times over in
one file, to see that memory stays flat.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from models.registry import Registry
from models.schema import load_schema
from training.fit import FitOptions
from training.read import read_history
from training.train import TrainingJob, train

_POLARS = "import polars, sys; polars.read_csv(sys.argv[1]).write_csv(sys.argv[2])"
_PANDAS = "import pandas, sys; pandas.read_csv(sys.argv[1]).to_csv(sys.argv[2], index=False)"


def table(rows: int) -> pl.DataFrame:
    """Random numbers in the shape of the ULB table."""
    random = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {"Time": np.sort(random.integers(0, 172_800, rows))}
    columns |= {f"V{i}": random.standard_normal(rows).round(12) for i in range(1, 29)}
    columns |= {"Amount": random.lognormal(3, 1.5, rows).round(2), "Class": (random.random(rows) < 0.002).astype(int)}
    return pl.DataFrame(columns)


# Linux counts the memory of the process that starts a command towards the command's peak: a small one starts it.
_RUN = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, capture_output=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""


@dataclass(frozen=True)
class Run:
    """Of one command: wall seconds, processor seconds, peak MiB."""

    wall: float
    processor: float
    peak: float


def timed(command: list[str]) -> Run:
    """Run a command."""
    run = subprocess.run([sys.executable, "-c", _RUN, *command], check=True, capture_output=True, text=True)
    return Run(*map(float, run.stdout.split()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=285_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--copies", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        source = folder / "in.csv"
        frame = table(args.rows)
        with source.open("wb") as out:
            for copy in range(args.copies):
                frame.write_csv(out, include_header=copy == 0)
        frame.head(20_000).write_csv(folder / "train.csv")
        schema = load_schema("ulb")
        registry = Registry(folder / "artifacts")
        # The time to score does not depend on how well the weights are trained, only on their number.
        manifest, _ = train(
            TrainingJob(schema, FitOptions(steps=50)), read_history(schema, [folder / "train.csv"]), registry
        )
        registry.activate(manifest.version)
        ours = [str(Path(sys.executable).parent / "counterfoil"), "score", str(source)]
        ours += ["--artifacts", str(registry.root), "--out", str(folder / "out.csv")]
        commands = {"counterfoil score: read, score, write": ours}
        for other, code in (("Polars: read, write", _POLARS), ("pandas: read, write", _PANDAS)):
            commands[other] = [sys.executable, "-c", code, str(source), str(folder / "copy.csv")]
        runs: dict[str, list[Run]] = {name: [] for name in commands}
        for _ in range(args.runs):
            for one, command in commands.items():
                runs[one].append(timed(command))
        rows, size = args.rows * args.copies, source.stat().st_size / 1e6
    print(f"{rows:,} rows x {frame.width} columns, {size:.0f} MB, medians of {args.runs} runs\n")
    print("| | seconds | of the processor | rows/s | times Polars | peak MiB |\n|---|---|---|---|---|---|")
    for name, found in runs.items():
        wall, processor = (
            statistics.median(part) for part in zip(*((r.wall, r.processor) for r in found), strict=True)
        )
        floor = runs["Polars: read, write"]
        ratio = statistics.median(one.wall / other.wall for one, other in zip(found, floor, strict=True))
        peak = max(run.peak for run in found)
        print(f"| {name} | {wall:.2f} | {processor:.2f} | {rows / wall:,.0f} | {ratio:.1f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
