"""A run that is killed leaves what it had done; the next goes on from there and writes what an unbroken one writes."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from models.batch import score_table
from models.errors import InvalidInput
from models.kept_results import KeptResults, kept_results
from models.scorer import Scorer
from models.tables import TableReader

_OF = {"input": "one"}
#: Scores a table and kills itself once so many chunks are written, if ever.
_RUN = """
import os, signal, sys
from pathlib import Path
from models.batch import score_table
from models.kept_results import kept_results
from models.scorer import Scorer
version, source, output, chunks = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
scorer, written = Scorer.load(version, threads=2), 0
def progress(done, total, rows):
    global written
    written += 1
    if written == chunks:
        os.kill(os.getpid(), signal.SIGKILL)
with kept_results(scorer, source, output, 0, "empty") as kept:
    score_table(scorer, source, output, on_error="reject", kept=kept, on_progress=progress)
"""


@pytest.fixture(scope="module")
def long(pytestconfig: pytest.Config) -> bool:
    """Whether the long form is asked for."""
    return bool(pytestconfig.getoption("--long", default=False))


@pytest.fixture(scope="module")
def table(long: bool, tiny_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny payments with so long a remark that they are several chunks; one row is bad."""
    remark = pl.lit("-" * (90_000 if long else 9_000))
    wide = pl.read_csv(tiny_csv, infer_schema=False).with_columns(remark=remark)
    path = tmp_path_factory.mktemp("kept") / "wide.csv"
    wide[5, "amount"] = "much"
    wide.write_csv(path)
    assert len(list(TableReader(path).chunks())) > 2
    return path


@pytest.fixture(scope="module")
def unbroken(tiny_scorer: Scorer, table: Path) -> tuple[bytes, bytes]:
    """The output, and all that is kept until it is there."""
    output, kept = table.with_name("unbroken.csv"), KeptResults(table.with_name("all.kept"), _OF)
    score_table(tiny_scorer, table, output, on_error="reject", kept=kept)
    kept.close()
    return output.read_bytes(), table.with_name("all.kept").read_bytes()


def test_what_is_kept_to_any_byte_gives_the_same_output(
    tiny_scorer: Scorer, table: Path, unbroken: tuple[bytes, bytes], tmp_path: Path
) -> None:
    whole, everything = unbroken
    begins = everything.index(b"\n") + 1
    for size in (0, begins - 1, begins + 3, len(everything) * 2 // 3, len(everything) - 1, len(everything)):
        (tmp_path / "kept").write_bytes(everything[:size])
        kept = KeptResults(tmp_path / "kept", _OF)
        score_table(tiny_scorer, table, tmp_path / "out.csv", on_error="reject", kept=kept)
        kept.close()
        assert (tmp_path / "out.csv").read_bytes() == whole, size
        assert (tmp_path / "kept").read_bytes() == everything, size


def test_what_is_kept_is_taken_and_what_is_damaged_is_not(
    tiny_scorer: Scorer, table: Path, unbroken: tuple[bytes, bytes], tmp_path: Path
) -> None:
    [first, *_] = TableReader(table).chunks()
    path, kept = tmp_path / "kept", KeptResults(tmp_path / "kept", _OF)
    scored = pl.read_csv(unbroken[0])[: first.frame.height - 1, -4:]
    kept.keep(first, scored.with_columns(score=pl.lit(0.125)))
    score_table(tiny_scorer, table, tmp_path / "out.csv", on_error="reject", kept=kept)
    kept.close()
    scores = pl.read_csv(tmp_path / "out.csv")["score"]
    assert (scores == 0.125).arg_true().to_list() == list(range(scored.height))
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(b"\n") + 200] ^= 1
    path.write_bytes(damaged)
    again = KeptResults(path, _OF)
    score_table(tiny_scorer, table, tmp_path / "out.csv", on_error="reject", kept=again)
    again.close()
    assert (tmp_path / "out.csv").read_bytes() == unbroken[0]


def test_killed_again_and_again_it_ends_with_the_same_bytes(
    tiny_model: Path, tiny_scorer: Scorer, table: Path, unbroken: tuple[bytes, bytes], long: bool
) -> None:
    """Once in the middle; in the long form 50 times at any moment, up to 5 of them before one run ends."""
    output = table.with_name("killed.csv")

    def start(chunks: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", _RUN, *map(str, (tiny_model, table, output, chunks))])

    assert start(2).wait() == -signal.SIGKILL
    assert not output.exists()
    _finish(tiny_scorer, table, output, unbroken[0])
    moments, killed = random.Random(1), 0
    while long and killed < 50:
        begun = time.monotonic()
        assert start(0).wait() == 0
        takes = time.monotonic() - begun
        for _ in range(5):
            output.unlink(missing_ok=True)
            process = start(0)
            try:
                process.wait(moments.uniform(0.2, 1) * takes)
            except subprocess.TimeoutExpired:
                process.kill()
            killed += process.wait() == -signal.SIGKILL
            print(f"{killed} killed, {sum(path.stat().st_size for path in table.parent.glob('.*.kept')):,} bytes kept")
        _finish(tiny_scorer, table, output, unbroken[0])
    assert list(table.parent.glob(".*")) == []


def _finish(scorer: Scorer, table: Path, output: Path, whole: bytes) -> None:
    with kept_results(scorer, table, output, 0, "empty") as kept:
        score_table(scorer, table, output, on_error="reject", kept=kept)
    assert output.read_bytes() == whole


def test_results_of_something_else_are_refused(tmp_path: Path) -> None:
    kept = KeptResults(tmp_path / "kept", {"input": "1", "model": "1"})
    with pytest.raises(InvalidInput, match=r"kept: another process is writing this output"):
        KeptResults(tmp_path / "kept", {"input": "1", "model": "1"})
    kept.close()
    with pytest.raises(InvalidInput, match=r"was begun with another input and another model; score as it was begun"):
        KeptResults(tmp_path / "kept", {"input": "2", "model": "2"})
    assert json.loads((tmp_path / "kept").read_text()) == {"input": "1", "model": "1"}
