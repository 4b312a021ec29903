"""The command line in this process, as a user sees it: exit code, what it prints, what it leaves behind."""

from __future__ import annotations

import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import counterfoil


@dataclass(frozen=True)
class Result:
    """What a command did.

    Attributes:
        code: the exit code.
        out: standard output.
        err: standard error, without the progress bars' blank lines.
    """

    code: int
    out: str
    err: str


class Cli:
    """Runs commands in a folder of their own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.chdir(folder)
        monkeypatch.setenv("COLUMNS", "200")  # help texts are not wrapped

    def __call__(self, *arguments: str | Path) -> Result:
        """Run ``counterfoil`` with these arguments."""
        self._monkeypatch.setattr(sys, "argv", ["counterfoil", *map(str, arguments)])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        self._capsys.readouterr()
        try:
            counterfoil.main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        out, err = self._capsys.readouterr()
        return Result(code, out, err.strip())


def refused(done: Result, message: str) -> None:
    """One message on standard error, exit code 2, and nothing of Python in it."""
    assert done.code == 2, (done.out, done.err)
    assert done.err.startswith(message), done.err
    assert "Traceback" not in done.err + done.out
    assert not re.search(r"hunter2|4111|\x1b", done.err + done.out)
