"""Batch scoring of a CSV: rows a second and peak memory of ``counterfoil score``, beside pandas' bare read and write.

    python benchmarks/batch.py                     285,000 rows x 31 columns, as the public ULB table has
    python benchmarks/batch.py --rows 20000        in a few seconds

Each is a process of its own, run in turn several times; the table shows medians and the ratio pair by pair.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from models.registry import Registry
from models.schema import load_schema
from training.fit import FitOptions
from training.read import read_history
from training.train import TrainingJob, train

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
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def timed(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak MiB of a command."""
    run = subprocess.run([sys.executable, "-c", _RUN, *command], check=True, capture_output=True, text=True)
    seconds, peak = map(float, run.stdout.split())
    return seconds, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=285_000)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in.csv"
        frame = table(args.rows)
        frame.write_csv(source)
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
        pandas = [sys.executable, "-c", _PANDAS, str(source), str(folder / "pandas.csv")]
        scored: list[float] = []
        copied: list[float] = []
        peak = 0.0
        for _ in range(args.runs):
            seconds, memory = timed(ours)
            peak = max(peak, memory)
            scored.append(seconds)
            copied.append(timed(pandas)[0])
        ratio = statistics.median(a / b for a, b in zip(scored, copied, strict=True))
        size = source.stat().st_size / 1e6
        print(f"{args.rows:,} rows x {frame.width} columns, {size:.0f} MB, medians of {args.runs} runs\n")
        print("| | seconds | rows/s | peak MiB |\n|---|---|---|---|")
        median = statistics.median(scored)
        print(f"| counterfoil score: read, score, write | {median:.2f} | {args.rows / median:,.0f} | {peak:.0f} |")
        median = statistics.median(copied)
        print(f"| pandas: read, write | {median:.2f} | {args.rows / median:,.0f} | |")
        print(f"\nratio {ratio:.2f}")


if __name__ == "__main__":
    main()
