"""How the kernel's functions are compiled: by Numba, once for each kind of machine, with the result kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

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
    dispatcher: Any = njit(cache=True, error_model="numpy", nogil=True)(function)
    # Numba would look at the function's own file only, and keep what it took in from another one that has changed.
    dispatcher._cache._cache_file._source_stamp = _sources()
    result: Function = dispatcher
    return result


@cache
def _sources() -> str:
    """A digest of all that is compiled."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
