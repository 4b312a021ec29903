"""Wall time of a zone to UTC, one time or a column at once.

Where the clocks are put forward, a time that does not exist is read with the offset from before: 02:30 counts as 03:30.
Where they are put back, a time that is there twice is the first. Both as Python's ``fold=0`` (PEP 495).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from models.forms.time_patterns import DAY

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
#: Wall times that datetime can express with a day to spare: years 1 to 9999.
_FIRST, _LAST = -62_135_510_400_000_000, 253_402_214_400_000_000


def utc(local: int, zone: str) -> int:
    """Microseconds since 1970 UTC of a wall time in microseconds."""
    return local - _offset(local, zone)


def utc_column(local: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """:func:`utc` of each [n]; the offset of a day is looked up once where it changes neither then nor a day off."""
    if zone == "UTC":
        return local
    days, which = np.unique(local // DAY, return_inverse=True)
    around = [(_offset(int(day - 1) * DAY, zone), _offset(int(day + 2) * DAY, zone)) for day in days]
    result = local - np.array([before for before, _ in around], np.int64)[which]
    changing = np.array([before != after for before, after in around], bool)[which]
    moments, place = np.unique(local[changing], return_inverse=True)
    result[changing] = np.array([utc(int(moment), zone) for moment in moments], np.int64)[place]
    return result


@lru_cache(maxsize=65_536)
def _offset(local: int, zone: str) -> int:
    """Microseconds that the zone is ahead of UTC."""
    wall = _EPOCH + timedelta(microseconds=min(max(local, _FIRST), _LAST))
    offset = wall.replace(tzinfo=ZoneInfo(zone)).utcoffset() or timedelta()
    return offset // _MICROSECOND
