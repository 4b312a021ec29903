"""Installs what a target of make needs, step by step: ``python3 requirements/install.py serve``.

Each step is one line on the terminal; all that pip says goes into a log file, which is named when a step fails. This
file runs before anything is installed, on whatever Python there is: the standard library only, in old syntax.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

OLDEST = (3, 11)
#: Lines of the log that are shown when a step fails.
SHOWN = 12
ROOT = Path(__file__).resolve().parent.parent


class Step(NamedTuple):
    """One call of pip, said in words.

    Attributes:
        says: what it does.
        takes: how long about, on two cores.
        pip: the arguments after ``pip install``.
    """

    says: str
    takes: str
    pip: Sequence[str]


class Target(NamedTuple):
    """What is installed where.

    Attributes:
        venv: the environment.
        stamp: a file in it that stands there once the target is whole.
        steps: what is installed, in order.
        after: the target that must be in the environment already.
    """

    venv: str
    stamp: str
    steps: Sequence[Step]
    after: str | None = None


def _locked(name: str) -> list[str]:
    return ["--require-hashes", "--requirement", f"requirements/{name}.lock"]


TARGETS = {
    "serve": Target(
        ".venv",
        "serve",
        (
            Step("the locked packages", "a minute", _locked("train")),
            # Without hashes: its pin takes the CPU build where one lies on disk, else what the index has.
            Step("PyTorch, for training", "half a minute", ["--requirement", "requirements/torch.txt"]),
            Step("Counterfoil itself", "5 seconds", ["--no-deps", "--no-build-isolation", "--editable", "."]),
        ),
    ),
    "dev": Target(".venv", "dev", (Step("what the tests need", "half a minute", _locked("dev")),), "serve"),
    "spark": Target(".venv", "spark", (Step("Spark", "a minute", _locked("spark")),), "dev"),
    "bench": Target(".venv", "bench", (Step("what is compared with", "a minute", ["--editable", ".[bench]"]),), "dev"),
    "tools": Target(".venv/tools", "done", (Step("the tools of the supply chain", "half a minute", _locked("tools")),)),
}


class Failed(Exception):
    """A step that did not come to its end: what to tell."""


def install(target: Target, root: Path, out: IO[str]) -> None:
    """Make the environment and run the steps.

    A mark lies beside the environment meanwhile: one whose installation was killed is made anew, never gone on with.

    Raises:
        Failed: with what to tell.
    """
    venv, log = root / target.venv, root / "install.log"
    mark = venv.with_name(venv.name + ".installing")
    python = venv / ("Scripts" if os.name == "nt" else "bin") / "python"
    targets = [target]
    (venv / target.stamp).unlink(missing_ok=True)
    with log.open("w", encoding="utf-8") as noise:
        if mark.exists() or not _has_pip(python):
            clear = ["--clear"] if mark.exists() else []
            venv.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            _run([sys.executable, "-m", "venv", *clear, str(venv)], root, noise, log)
            while targets[0].after:
                targets.insert(0, TARGETS[targets[0].after])
        mark.touch()
        steps = [step for each in targets for step in each.steps]
        for number, step in enumerate(steps, start=1):
            with _Clock(f"{number}/{len(steps)} installing {step.says} (about {step.takes})", out) as clock:
                pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--no-compile"]
                try:
                    _run([*pip, *step.pip], root, noise, log, clock)
                except Failed:  # pip ended by itself and left what it had installed in order
                    mark.unlink()
                    raise
    for each in targets:
        (venv / each.stamp).touch()
    mark.unlink()


class _Clock:
    """A line that says what runs and, on a terminal, for how long already."""

    def __init__(self, head: str, out: IO[str]) -> None:
        self._head, self._out, self._began = head, out, time.monotonic()

    def __enter__(self) -> _Clock:
        self._out.write(self._head + (" … " if self._out.isatty() else " …\n"))
        self._out.flush()
        return self

    def tick(self) -> None:
        if self._out.isatty():
            self._out.write(f"\r{self._head} … {self._seconds()} s")
            self._out.flush()

    def _seconds(self) -> int:
        return round(time.monotonic() - self._began)

    def __exit__(self, kind: type | None, *_: object) -> None:
        end = f"done in {self._seconds()} s" if kind is None else "not finished"
        self._out.write(f"\r{self._head} … {end}\n" if self._out.isatty() else f"    {end}\n")
        self._out.flush()


def _has_pip(python: Path) -> bool:
    if not python.exists():
        return False
    ask = [str(python), "-m", "pip", "--version"]
    return subprocess.run(ask, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def _run(command: Sequence[str], root: Path, noise: IO[str], log: Path, clock: _Clock | None = None) -> None:
    """Run one command with its output in the log. Interrupted, it is ended first."""
    print("$", *command, file=noise, flush=True)
    with subprocess.Popen(command, cwd=str(root), stdout=noise, stderr=subprocess.STDOUT) as process:
        try:
            while True:
                try:
                    status = process.wait(timeout=1)
                    break
                except subprocess.TimeoutExpired:
                    if clock:
                        clock.tick()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    if status:
        with log.open(encoding="utf-8", errors="replace") as written:
            last = [line for line in written.read().splitlines() if not line.startswith("WARNING: Location")][-SHOWN:]
        raise Failed("\n".join([*("  " + line for line in last), f"That failed. All of its output: {log}"]))


def _unfit() -> str | None:
    """Why this Python cannot do it, or None."""
    here = ".".join(map(str, sys.version_info[:2]))
    wanted = ".".join(map(str, OLDEST))
    if sys.version_info < OLDEST:
        return (
            f"Counterfoil needs Python {wanted} or newer, and {sys.executable} is {here}.\n"
            f"Name another one: make serve PYTHON=python{wanted}"
        )
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        return (
            f"{sys.executable} cannot make virtual environments: its module venv or ensurepip is missing.\n"
            f"On Debian and Ubuntu: apt install python{here}-venv"
        )
    return None


def main(arguments: Sequence[str], root: Path = ROOT, out: IO[str] = sys.stderr) -> int:
    """The exit status: 0 whole, 1 failed, 2 cannot be done with this Python, 130 interrupted."""
    if len(arguments) != 1 or arguments[0] not in TARGETS:
        print("Usage: python3 requirements/install.py", "|".join(TARGETS), file=out)
        return 2
    unfit = _unfit()
    if unfit:
        print(unfit, file=out)
        return 2
    try:
        install(TARGETS[arguments[0]], root, out)
    except Failed as error:
        print(error, file=out)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. The same command begins the installation anew.", file=out)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
