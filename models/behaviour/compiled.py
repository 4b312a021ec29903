"""How the kernel's functions are compiled: by Numba, once for each kind of machine, with the result kept on disk.

Numba takes half a second to load, so that is left until a function is first needed: many commands, and a service of a
profile without behaviour features, need none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from models.dependencies import kernel_folder

#: What compiled functions take. Numba goes by the values it is given; these say to people and to mypy what they are.
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Int = Any  # an int64
Uint64 = Any  # a uint64

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile at the first call, or load what an earlier process compiled."""
    return cast(Function, _Compiled(function))


def load_compiler() -> None:
    """Load Numba now: whoever starts to serve behaviour features has no time for it later."""
    from models.behaviour import kept  # noqa: F401, PLC0415 - brings it


def cache_trouble() -> str | None:
    """What to tell the operator of where the compiled code is kept; None where all is well."""
    return _kept_in()[1]


class _Compiled:
    """Stands for a function, for those who call it and, by ``_numba_type_``, for compiled ones that do."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        return self.dispatcher(*arguments)

    @cached_property
    def dispatcher(self) -> Any:
        """Numba's own."""
        from models.behaviour.kept import dispatcher  # noqa: PLC0415 - brings Numba

        _choose_folder()
        return dispatcher(self._function, _kept_in()[0], _sources())

    @property
    def _numba_type_(self) -> Any:
        return self.dispatcher._numba_type_


@cache
def _choose_folder() -> None:
    from models.behaviour.kept import keep_in  # noqa: PLC0415 - brings Numba

    folder, _ = _kept_in()
    keep_in(str(folder) if folder and folder != Path(__file__).parent / "__pycache__" else "")


@cache
def _kept_in() -> tuple[Path | None, str | None]:
    return kernel_folder(Path(__file__).parent)


@cache
def _sources() -> str:
    """A digest of all that is compiled."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
