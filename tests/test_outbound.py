"""Nothing leaves: no process of ours, and no dependency in it, sends anything or writes outside its folders.

As the kernel saw it. The variables by which dependencies find out that they are in a test are taken away.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import servers
from tests.app.syscalls import OPENING, OUTWARD, reached, strace, written
from tests.app.test_server import announced
from tests.waiting import FAR

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Place:
    """A folder to work in and a home, which must stay empty."""

    work: Path
    home: Path
    trace: Path

    def command(self, *arguments: str | Path) -> list[str]:
        """``counterfoil`` with these arguments, traced."""
        return [
            *strace(self.trace, (*OUTWARD, *OPENING)),
            sys.executable,
            str(ROOT / "counterfoil.py"),
            *map(str, arguments),
        ]

    def environment(self) -> dict[str, str]:
        """Of a user who has set nothing."""
        telling = ("COUNTERFOIL_", "ORT_", "XDG_", "MPL", "NUMBA_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(telling)}
        for name in ("CI", "GITHUB_ACTIONS", "TF_BUILD", "PYTEST_CURRENT_TEST"):
            kept.pop(name, None)
        return kept | {"HOME": str(self.home), "TMPDIR": str(self.work), "OMP_NUM_THREADS": "1"}

    def run(self, *arguments: str | Path) -> None:
        """Run a command to its end."""
        done = subprocess.run(
            self.command(*arguments), cwd=self.work, env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr

    def kept_quiet(self, *allowed: str) -> None:
        """Nothing was sent but to these addresses, nothing written but in the folder and beside the sources."""
        assert {address for address in reached(self.trace) if not address.startswith(allowed or ("none",))} == set()
        assert list(self.home.iterdir()) == []
        own = (self.work, Path("/dev"), Path("/proc"), Path(tempfile.gettempdir()))
        strange = [path for path in written(self.trace) if not any(path.is_relative_to(folder) for folder in own)]
        assert [path for path in strange if "__pycache__" not in path.parts] == []
        assert any(path.is_relative_to(self.work) for path in written(self.trace))  # the trace has something in it


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Empty."""
    for name in ("work", "home"):
        (tmp_path / name).mkdir()
    yield Place(tmp_path / "work", tmp_path / "home", tmp_path / "trace")


def serve(place: Place, model: Path, *more: str) -> None:
    """Start a service, ask whether it is ready, stop it."""
    command = place.command("serve", "--port", "0", "--artifacts", model.parent, *more)
    with subprocess.Popen(
        command, cwd=place.work, env=place.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        found = announced(process)
        assert found, process.communicate()
        with urllib.request.urlopen(f"http://127.0.0.1:{found[0]}/readyz", timeout=FAR) as reply:
            assert reply.status == 200
        process.send_signal(signal.SIGTERM)
        _, lines = process.communicate(timeout=FAR)
    assert process.returncode == 0
    assert all(line.startswith("{") for line in lines.splitlines()), lines


def test_training_keeps_to_itself(place: Place, tiny_csv: Path) -> None:
    place.run("train", tiny_csv, "--hidden", "4", "--members", "1", "--label-delay", "0d")
    place.kept_quiet()
    assert "/sklearn/" not in place.trace.read_text(errors="replace")  # seconds, and only the second opinion needs it


def test_evaluating_keeps_to_itself(place: Place, tiny_model: Path, tiny_csv: Path) -> None:
    place.run("evaluate", tiny_csv, "--report", "r.html", "--model", tiny_model)
    place.kept_quiet()


def test_the_service_keeps_to_itself(place: Place, tiny_model: Path) -> None:
    serve(place, tiny_model)
    place.kept_quiet()


def test_its_workers_do_too_but_for_their_store(place: Place, tiny_model: Path) -> None:
    url = servers.redis()
    serve(place, tiny_model, "--workers", "2", "--database", url)
    place.kept_quiet(url.removeprefix("redis://").partition("/")[0])
