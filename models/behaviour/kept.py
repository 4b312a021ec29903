"""What Numba makes of a function, kept on disk; :mod:`models.behaviour.compiled` imports this when it is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core.caching import FunctionCache

from models.dependencies import unseen

# With its first function Numba looks whether SciPy has a BLAS, for a tenth of what a service takes to start. Nothing
# that is compiled here multiplies matrices; who compiles such a thing makes Numba look again.
with unseen("scipy.linalg"):
    from numba.np import arraymath  # noqa: F401


def dispatcher(function: Callable[..., Any], folder: Path | None, sources: str) -> Any:
    """Compiles at its first call, or loads what an earlier process compiled.

    No fast-math and no parallel sums: the same numbers come out wherever the function is called from.

    Args:
        folder: to keep it in; None keeps it nowhere.
        sources: a digest of all that is compiled; what was kept of others is not taken.
    """
    found: Any = njit(error_model="numpy", nogil=True)(function)
    if folder is not None:
        found._cache = _Kept(function, sources)
    return found


def keep_in(folder: str) -> None:
    """Numba takes this folder before any other; without one, the sources' own."""
    config.CACHE_DIR = folder  # type: ignore[attr-defined]


class _Kept(FunctionCache):
    """What was compiled, on disk. A file that is damaged, or a disk that is full, costs time and nothing else."""

    def __init__(self, function: Callable[..., Any], sources: str) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        # Numba would look at the function's own file only, and keep what it took in from another one that has changed.
        self._cache_file._source_stamp = sources

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
