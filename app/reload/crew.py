"""The processes that serve together on one machine, and what each says of the version that is to take over.

Each holds a lock on a file of its own for as long as it lives, however it ends, and writes beside it what it says.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from models.aside import written_aside

_LOCK, _WORD = ".alive", ".says"
_SERVES = "serves"


class Together:
    """What the processes that serve together share.

    Args:
        folder: of their own, for as long as they serve.

    Attributes:
        metrics: the folder where they count.
        crew: they themselves.
    """

    def __init__(self, folder: Path) -> None:
        self.metrics, crew = folder / "metrics", folder / "crew"
        for each in (self.metrics, crew):
            each.mkdir(exist_ok=True)
        self.crew = Crew(crew)


@dataclass(frozen=True, slots=True)
class Word:
    """What a process says.

    Attributes:
        version: that it serves or is ready to serve; None while it starts.
        trouble: why it cannot serve that version; "" where it can.
        serves: the version that it answers with; None while it starts.
    """

    version: str | None = None
    trouble: str = ""
    serves: str | None = None


class Crew:
    """Those that share a folder.

    Args:
        folder: there; of their own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: int | None = None

    def join(self) -> None:
        """Be one of them until this process ends: from now on the others wait for it."""
        self.say(Word())
        self._lock = os.open(self._own(_LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def say(self, word: Word) -> None:
        """Tell the others."""
        _write(self._own(_WORD), json.dumps(asdict(word)))

    def others(self) -> Iterator[tuple[int, Word]]:
        """The process ids of the others that live, and what they say."""
        for lock in sorted(self._folder.glob(f"*{_LOCK}")):
            pid = int(lock.stem)
            if pid != os.getpid() and _held(lock):
                said = json.loads(lock.with_suffix(_WORD).read_text(encoding="utf-8"))
                yield pid, Word(**said)

    def serve(self, version: Path) -> None:
        """Note the folder of the version that all serve: one that takes a dead one's place begins with it."""
        _write(self._folder / _SERVES, str(version.absolute()))

    @property
    def serves(self) -> Path:
        """The folder of the version that all serve."""
        return Path((self._folder / _SERVES).read_text(encoding="utf-8"))

    def _own(self, suffix: str) -> Path:
        return self._folder / f"{os.getpid()}{suffix}"


def _write(path: Path, text: str) -> None:
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _held(lock: Path) -> bool:
    """Whether the process that a lock is of lives."""
    file = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
