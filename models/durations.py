"""Durations as people write them: ``30s``, ``15m``, ``12h``, ``7d``."""

from __future__ import annotations

import re

_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def duration_seconds(text: str) -> int:
    """Seconds of a duration such as ``30s``, ``15m``, ``12h`` or ``7d``.

    Raises:
        ValueError: the text is not of that form.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError("a duration is a whole number and one of s, m, h, d, e.g. 7d")
    return int(match[1]) * _UNIT_SECONDS[match[2]]
