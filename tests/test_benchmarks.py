"""Each benchmark still runs: the command that its first lines call a tiny run, in the long form all of them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from training.simulate import SimulationConfig, simulate, write

ROOT = Path(__file__).parents[1]
_TINY = re.compile(r"^ *(?:PYTHONPATH=\. )?python (.+?)  +#.*a tiny run", re.MULTILINE)
_NAMES = sorted(
    path.stem
    for path in (ROOT / "benchmarks").glob("*.py")
    if 'if __name__ == "__main__"' in path.read_text("utf-8") and path.stem != "pictures"  # which measures nothing
)
#: Those of which the suite runs the tiny run, too.
_SMOKE = ("behaviour", "decisions")


def tiny_run(name: str) -> list[str]:
    """The arguments of Python."""
    return shlex.split(_TINY.findall((ROOT / "benchmarks" / f"{name}.py").read_text("utf-8"))[0])


@pytest.mark.parametrize("name", _NAMES)
def test_a_benchmark_says_how_to_try_it(name: str) -> None:
    assert tiny_run(name)[0] == f"benchmarks/{name}.py"


@pytest.mark.parametrize("name", [pytest.param(one, marks=[pytest.mark.long] * (one not in _SMOKE)) for one in _NAMES])
def test_a_benchmark_runs(name: str, tmp_path: Path) -> None:
    if name == "cluster" and shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    script, *arguments = tiny_run(name)
    if "mine.parquet" in arguments:
        write(simulate(SimulationConfig(days=20, cards=100, merchants=50)), tmp_path / "mine.parquet")
    run = subprocess.run(
        [sys.executable, ROOT / script, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2_000:]
    assert re.search(r"\d", run.stdout), "it measured nothing"
