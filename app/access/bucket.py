"""A rate limit: a token bucket, filled as time passes, one token a request."""

from __future__ import annotations


class Bucket:
    """Holds the tokens of one second, at least one; full in the beginning.

    Args:
        rate: tokens per second, above 0.
    """

    __slots__ = ("_filled_at", "_size", "_tokens", "rate")

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._tokens = self._size = max(1.0, rate)
        self._filled_at = 0.0

    def take(self, now: float) -> float:
        """Take a token.

        Args:
            now: seconds of a clock that never goes back, at least 0.

        Returns:
            0 where one was taken, else the seconds until there is one.
        """
        tokens = min(self._size, self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now
        taken = tokens >= 1
        self._tokens = tokens - taken
        return 0.0 if taken else (1 - tokens) / self.rate
