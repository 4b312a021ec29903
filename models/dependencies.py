"""What dependencies do of their own accord: call home, write into the home folder. Here they are kept from it.

``import models`` comes before any of them in every process (service, workers, training, command line), and silences
them. A value that is set already stands: who wants one of them to speak can have that.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Without it, ONNX Runtime from 1.29 on looks up its maker's telemetry host, and keeps a device id and queued events
#: (operating system, CPU, how often which model ran) under ~/.cache. It reads this when it is first used.
#: pydantic looks through all that is installed for plugins, at every start, and runs those that it finds.
_SILENCE = {"ORT_DISABLE_TELEMETRY": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}
#: Rows are spread over threads in blocks: threads of NumPy's own for a matrix product would only wait for each other.
#: OpenBLAS reads this when NumPy is imported.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


def silence() -> None:
    """Turn off what dependencies would send or spin up, in this process and in those that it starts."""
    for name, value in {**_SILENCE, **_ONE_THREAD}.items():
        os.environ.setdefault(name, value)


def count_alone() -> None:
    """Keep what this process counts to itself.

    prometheus_client would count in files of the folder that this variable names, and fail where there is none. It is
    set for another program, or for several processes; those of this one get a folder of their own.
    """
    for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        os.environ.pop(name, None)


@contextmanager
def meanwhile(name: str, value: Path) -> Iterator[None]:
    """Give one dependency a folder by its environment variable while it is imported; one that is set already stands."""
    if name in os.environ:
        yield
        return
    os.environ[name] = str(value)
    try:
        yield
    finally:
        del os.environ[name]


def started_rank() -> int:
    """Which of the processes that ``torchrun`` started this one is, from 0; 0 also where it started none."""
    return int(os.environ.get("RANK", "0")) if "TORCHELASTIC_RUN_ID" in os.environ else 0


@contextmanager
def unseen(module: str) -> Iterator[None]:
    """Keep one dependency from loading a module that it only looks for; one that is loaded already stays."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # what Python takes for: there is none
    try:
        yield
    finally:
        del sys.modules[module]


def kernel_folder(beside: Path) -> tuple[Path | None, str | None]:
    """Where the compiled kernel may be kept: code that the next process runs, so only where others cannot write.

    The first of: ``$NUMBA_CACHE_DIR``, the sources' own ``__pycache__``, the user's cache folder. Never a folder for
    everybody's temporary files, and never beside the models, which are copied from machine to machine.

    Args:
        beside: the folder of the sources.

    Returns:
        The folder, None where the kernel must be compiled at each start; and what to tell the operator, if anything.
    """
    named = os.environ.get("NUMBA_CACHE_DIR")
    trouble = f"NUMBA_CACHE_DIR ({named}) cannot be written to; " if named else ""
    if named and _writable(Path(named)):
        return Path(named), None
    for folder in (beside / "__pycache__", _user_cache()):
        if folder is not None and _writable(folder):
            return folder, f"{trouble}the compiled kernel is kept in {folder}" if trouble else None
    advice = "make it writable" if named else "set NUMBA_CACHE_DIR to a folder that only this user may write to"
    return None, (
        f"{trouble or 'no folder to keep the compiled kernel in; '}it is compiled at each start, which takes seconds: "
        f"{advice}"
    )


def _user_cache() -> Path | None:
    """This project's folder in the user's cache; None without a home, as with a user id that no one set up."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named / "counterfoil"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home / ".cache" / "counterfoil" if home.is_absolute() and home != Path("/") and home.is_dir() else None


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
