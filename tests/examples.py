"""How many examples a property is tried with: few in the suite, many in the long forms (``make properties``)."""

from __future__ import annotations

from hypothesis import settings

#: Times as many examples as in the suite.
MORE = 10


def examples(few: int) -> int:
    """For a property that cannot do with the profile's number; ``few`` are tried in the suite."""
    return few * (MORE if settings.get_current_profile_name() == "long" else 1)
