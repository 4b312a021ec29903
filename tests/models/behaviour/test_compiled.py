"""What is compiled is kept, and thrown away when any of its sources has changed, not only its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from models.behaviour import compiled, kernel, records, replay, windows

_RUN = """
import sys
import numpy as np
from models.behaviour.layout import NEWEST
from models.behaviour import plan as P
from models.behaviour.records import reset
plan, state = np.zeros(P.LISTS, np.int64), np.zeros(9, np.int64)
plan[P.HEADER] = 9
reset(state, plan, 0, 0)
print(state[NEWEST], reset.dispatcher.stats.cache_hits.total(), int("scipy.linalg" in sys.modules))
"""


def test_the_kernel_goes_by_all_of_its_sources() -> None:
    functions: list[Any] = [kernel.advance, kernel.relabel, records.copy_into, replay._run, windows.move]
    assert {function.dispatcher._cache._cache_file._source_stamp for function in functions} == {compiled._sources()}


def test_a_change_in_another_file_is_taken_in(tmp_path: Path) -> None:
    """``reset`` is in records.py; what it writes is in layout.py."""
    package = tmp_path / "models" / "behaviour"
    package.mkdir(parents=True)
    for file in Path(compiled.__file__).parent.glob("*.py"):
        shutil.copy(file, package)
    (package / "__init__.py").write_text("")

    def run() -> list[int]:
        command = [sys.executable, "-c", _RUN]
        done = subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True, env={"PYTHONPATH": "."}
        )
        return [int(word) for word in done.stdout.split()]

    before, hits, algebra = run()
    assert (hits, algebra) == (0, 0)  # nothing of SciPy is waited for, at the first start and later
    assert run() == [before, 1, 0]
    layout = package / "layout.py"
    layout.write_text(layout.read_text().replace("NEVER = -(2**63)", "NEVER = -(2**62)"))
    assert run() == [before // 2, 0, 0]
