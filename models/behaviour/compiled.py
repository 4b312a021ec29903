"""How the kernel's functions are compiled: by Numba, once for each kind of machine, with the result kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import config, njit
from numba.core.caching import FunctionCache
from numpy.typing import NDArray

from models.dependencies import kernel_folder

#: What compiled functions take. Numba goes by the values it is given; these say to people and to mypy what they are.
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Int = Any  # an int64
Uint64 = Any  # a uint64

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile at the first call, or load what an earlier process compiled.

    No fast-math and no parallel sums: the same numbers come out wherever the function is called from.
    """
    dispatcher: Any = njit(error_model="numpy", nogil=True)(function)
    folder, _ = _kept_in()
    if folder is not None:
        dispatcher._cache = _Kept(function)
    result: Function = dispatcher
    return result


def cache_trouble() -> str | None:
    """What to tell the operator of where the compiled code is kept; None where all is well."""
    return _kept_in()[1]


class _Kept(FunctionCache):
    """What was compiled, on disk. A file that is damaged, or a disk that is full, costs time and nothing else."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        # Numba would look at the function's own file only, and keep what it took in from another one that has changed.
        self._cache_file._source_stamp = _sources()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What an earlier process compiled; None where there is nothing that can be read."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # noqa: BLE001 - a cut off or overwritten file raises anything; compiled anew, it is right
            self._try(self.flush)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep it for the next process, if that can be done."""
        self._try(super().save_overload, sig, data)

    def _try(self, action: Callable[..., None], *arguments: Any) -> None:
        try:
            action(*arguments)
        except OSError:
            self.disable()  # type: ignore[no-untyped-call]


@cache
def _kept_in() -> tuple[Path | None, str | None]:
    sources = Path(__file__).parent
    folder, trouble = kernel_folder(sources)
    # Numba takes this folder before any other; without one, the sources' own.
    config.CACHE_DIR = str(folder) if folder and folder != sources / "__pycache__" else ""  # type: ignore[attr-defined]
    return folder, trouble


@cache
def _sources() -> str:
    """A digest of all that is compiled."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
