"""From how many rows on a cluster is worth it: one process beside Spark on the same machine, in the same run.

    PYTHONPATH=. python benchmarks/cluster.py                             # half an hour; trains a small model first
    PYTHONPATH=. python benchmarks/cluster.py --rows 2000 --rounds 1      # a tiny run: minutes

Both score the same Parquet with behaviour features from nothing, each as the command a user runs, from its start to its
end. Spark is a real cluster of two executors of one core each on this one machine: it has no more processors than the
one process has, so that the ratio says what its machinery costs, not what more machines give. The lines take turns;
medians count. What a cluster of N such executors gives is at best N / 2 of the difference between two lines of Spark.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import polars as pl

from models.schema import load_schema
from models.thresholds import Policy
from training.fit import FitOptions
from training.read import read_history
from training.simulate import SimulationConfig, simulate, write

_CLUSTER = ("--master", "local-cluster[2,1,1024]", "--conf", "spark.sql.shuffle.partitions=8", "--conf",
            "spark.driver.host=127.0.0.1", "--conf", "spark.driver.bindAddress=127.0.0.1")  # fmt: skip


def model(folder: Path) -> pl.DataFrame:
    """A small version of the payments profile, active in the folder; and the payments it was trained on."""
    from models.registry import Registry
    from training.train import TrainingJob, train

    frame = simulate(SimulationConfig(days=30, cards=1_000, merchants=300, seed=1))
    write(frame, folder / "history.parquet")
    schema = load_schema("payments")
    job = TrainingJob(schema, FitOptions(steps=200), Policy(name="alert-rate", value=0.005), label_delay="0d")
    registry = Registry(folder / "artifacts")
    manifest, _ = train(job, read_history(schema, [folder / "history.parquet"]), registry)
    registry.activate(manifest.version)
    return frame


def table(frame: pl.DataFrame, rows: int, folder: Path) -> None:
    """So many payments in four files: the simulated ones again and again, each time of other cards, 30 days later."""
    parts: list[pl.DataFrame] = []
    held = 0
    while held < rows:
        n = len(parts)
        part = frame.with_columns(
            pl.col("timestamp") + timedelta(days=30 * (n % 6)),
            pl.col("card_id") + f"-{n // 6}",
            pl.col("transaction_id") + f"-{n}",
        )
        parts.append(part)
        held += frame.height
    whole = pl.concat(parts)[:rows].sort("timestamp")
    for i in range(4):
        whole[i * rows // 4 : (i + 1) * rows // 4].write_parquet(folder / f"{i}.parquet")
    whole.write_parquet(folder.with_suffix(".parquet"))


def seconds(folder: Path, *arguments: str) -> float:
    """How long a command takes."""
    own = {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    own |= {"COUNTERFOIL_ARTIFACTS": str(folder / "artifacts"), "SPARK_WORKER_DIR": str(folder / "work")}
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "import counterfoil; counterfoil.main()", *arguments],
        env=os.environ | own,
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - started


def main() -> None:
    """Parse the command line and print one line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 5_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="counterfoil-") as name:
        folder = Path(name)
        frame = model(folder)
        print("|      rows | one process, s | Spark, s | Spark / one process |\n|---:|---:|---:|---:|")
        for rows in given.rows:
            source = folder / f"rows-{rows}"
            source.mkdir()
            table(frame, rows, source)
            one, spark = [], []
            for n in range(given.rounds):
                out = str(folder / f"out-{rows}-{n}")
                one.append(seconds(folder, "score", f"{source}.parquet", "--out", f"{out}.parquet", "--state", "empty"))
                spark.append(
                    seconds(folder, "spark", "score", str(source), "--out", out, "--states", "empty", *_CLUSTER)
                )
            alone, cluster = statistics.median(one), statistics.median(spark)
            print(f"| {rows:,} | {alone:.1f} | {cluster:.1f} | {cluster / alone:.1f} |", flush=True)


if __name__ == "__main__":
    main()
