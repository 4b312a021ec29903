"""Waiting for what is bound to come: a test asks until it is there, and never pauses in the hope that it is.

The bounds are far away. They end a test that would hang, and judge nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
#: Seconds. A hundred times what anything here takes on an idle machine.
FAR = 300.0
_BETWEEN = 0.005


def until(
    come: Callable[[], T | None], what: str = "what the test waits for", *, not_yet: tuple[type[Exception], ...] = ()
) -> T:
    """Ask until the answer is true, and give it back.

    Args:
        come: asks.
        what: named where it never comes.
        not_yet: errors that mean the same as a false answer.
    """
    end = time.monotonic() + FAR
    while True:
        cause: Exception | None = None
        try:
            if found := come():
                return found
        except not_yet as error:
            cause = error
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come within {FAR:.0f} s") from cause
        time.sleep(_BETWEEN)
