"""What training takes of processor and memory for tables of any length, and whether drawn rows do as well as all.

    PYTHONPATH=. python benchmarks/long_history.py                          # 10^5, 10^6 and 10^7 rows; half an hour
    PYTHONPATH=. python benchmarks/long_history.py --rows 20000             # a tiny run
    PYTHONPATH=. python benchmarks/long_history.py --quality history.parquet --profile handbook-raw

The tables are simulated payments in Parquet files of some 300,000 rows, each of other cards and merchants over the same
60 days, so that no file begins where another ends; with 17 columns of noise they have 30. Each is trained on as the
command a user runs, with the behaviour features of the profile ``payments`` and without. Processor seconds are those of
all threads; the peak is the process's resident memory.

``--read`` reads the tables of a folder as ``train`` does, with their profile, and tells what that alone takes.
``--quality`` fits a detector on all rows of a table and one on rows drawn from it, and measures both on all rows of its
test part.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from models.behaviour.events import Behaviour
from models.detector import export_onnx
from models.graph import Graph
from models.manifest import ERROR
from models.normaliser import Layout
from models.registry import Registry
from models.rows import FRAUD, UNKNOWN, Vocabulary
from models.schema import NumericColumn, TransactionSchema, load_schema
from models.scorer import Scorer
from training.behaviour import forget_some, remember, warm_up_end
from training.draw import most_rows, read_for_training
from training.fit import FitOptions, fit_detector
from training.ranking import rank_metrics
from training.read import History, read_history
from training.simulate import SimulationConfig, simulate
from training.split import split_history
from training.train import fit_vocabulary

_NOISE = 17


def wide_payments(*, behaviour: bool) -> TransactionSchema:
    """The profile ``payments`` with columns of noise."""
    payments = load_schema("payments")
    columns = payments.columns | {f"v{i}": NumericColumn() for i in range(_NOISE)}
    entity = payments.entity if behaviour else {}
    return payments.model_copy(update={"name": "wide", "columns": columns, "entity": entity}).checked()


def write_tables(rows: int, folder: Path) -> None:
    """So many rows of 30 columns, in files."""
    frame = simulate(SimulationConfig(days=60, cards=5_000, merchants=2_000, seed=1))
    written = n = 0
    while written < rows:
        part = frame[: rows - written]
        random = np.random.default_rng(n)
        noise = random.standard_normal((part.height, _NOISE), np.float32)
        noise[:, 1:] += noise[:, :-1]
        part = part.with_columns(
            pl.col("card_id") + f"-{n}",
            pl.col("merchant_id") + f"-{n}",
            pl.col("transaction_id") + f"-{n}",
            *(pl.Series(f"v{i}", noise[:, i]) for i in range(_NOISE)),
        )
        part.write_parquet(folder / f"{n:04}.parquet", row_group_size=131_072)
        written, n = written + part.height, n + 1


def measured(folder: Path, profile: Path) -> str:
    """Train on the files of a folder: a line of the table."""
    artifacts = folder / profile.stem
    command = [sys.executable, "-c", "import counterfoil; counterfoil.main()", "train", str(folder / "*.parquet")]
    begun = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--profile", str(profile), "--no-activate", "--out", str(artifacts)], stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"training failed with {process.returncode}")
    took, busy = time.perf_counter() - begun, used.ru_utime + used.ru_stime
    registry = Registry(artifacts)
    metrics = Scorer.load(registry.folder(registry.versions()[-1])).manifest.metrics
    return (
        f"{took:.0f} | {busy:.0f} | {used.ru_maxrss / 1024:,.0f} | {metrics.roc_auc or 0:.4f} | "
        f"{metrics.average_precision or 0:.3f} |"
    )


def cost(sizes: list[int]) -> None:
    """Print the table of what training takes."""
    print("| rows | behaviour features | s | processor s | peak MiB | ROC AUC | average precision |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for rows in sizes:
        with tempfile.TemporaryDirectory(prefix="counterfoil-") as name:
            folder = Path(name)
            write_tables(rows, folder)
            for behaviour in (False, True):
                profile = folder / ("with.toml" if behaviour else "without.toml")
                profile.write_text(wide_payments(behaviour=behaviour).to_toml(), encoding="utf-8")
                print(f"| {rows:,} | {profile.stem} | {measured(folder, profile)}", flush=True)


def read(schema: TransactionSchema, files: list[Path]) -> None:
    """Print what reading takes in this process."""
    begun = time.process_time()
    history = read_for_training(schema, files, seed=0)
    took, peak = time.process_time() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = len(history) if history.drawn is None else history.drawn.of
    print(f"{rows:,} rows read, {len(history):,} held: {took:.1f} s of processor, peak {peak:,.0f} MiB")


def fitted(schema: TransactionSchema, history: History, seed: int) -> tuple[Vocabulary, Graph]:
    """A detector of the training part, as ``train`` fits it, and the categories that it knows."""
    behaviour = Behaviour(schema)
    split = split_history(history, schema, schema.label_delay, warm_up_end(behaviour, history.time))
    rows = split.train[history.fitted[split.train]]
    vocabulary = fit_vocabulary(history, rows)
    batch = history.take(rows).batch(vocabulary)
    if behaviour:
        batch = replace(batch, numeric=forget_some(behaviour, batch.numeric, seed))
    result = fit_detector(batch, Layout.of(schema, vocabulary), FitOptions(), seed=seed)
    return vocabulary, Graph(export_onnx(result.detector))


def quality(schema: TransactionSchema, files: list[Path], most: int, seeds: int) -> None:
    """Print how well detectors rank all of the test part that were fitted on all rows and on drawn ones."""
    behaviour, history = Behaviour(schema), read_history(schema, files)
    if behaviour:
        history = remember(behaviour, history)[0]
    warm_up = warm_up_end(behaviour, history.time)
    test = history.take(split_history(history, schema, schema.label_delay, warm_up).test)
    known = test.label != UNKNOWN
    print(f"{len(test):,} rows to test on\n\n| rows held | seed | ROC AUC | average precision |\n|---:|---:|---:|---:|")
    for seed in range(seeds):
        for drawn in (False, True):
            mine = read_for_training(schema, files, seed=seed, most=most) if drawn else history
            vocabulary, graph = fitted(schema, mine, seed)
            error = graph.run(test.batch(vocabulary), ERROR)[0]
            area, precision = rank_metrics(error[known], test.label[known] == FRAUD)
            print(f"| {len(mine):,} | {seed} | {area:.4f} | {precision:.4f} |", flush=True)


def main() -> None:
    """Parse the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--read", type=Path, nargs="+", help="only read these tables, under --profile")
    parser.add_argument("--quality", type=Path, nargs="+", help="measure all rows against drawn ones, of this table")
    parser.add_argument("--profile", default="payments", help="of those tables")
    parser.add_argument("--most", type=int, help="rows that are drawn from it; default: as train does")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    if given.read:
        read(load_schema(given.profile), given.read)
    elif given.quality:
        schema = load_schema(given.profile)
        quality(schema, given.quality, given.most or most_rows(schema), given.seeds)
    else:
        cost(given.rows)


if __name__ == "__main__":
    main()
