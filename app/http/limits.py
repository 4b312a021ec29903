"""What a client may take of the service's time, memory and files before it is let go."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from app.settings import Settings

#: Files of the process that are no connections: the store, the log, the listener, the model, threads' pipes.
_OTHER_FILES = 64
#: A service with room for fewer connections would serve nobody.
_FEWEST = 32


@dataclass(frozen=True)
class Limits:
    """Limits of one process.

    Attributes:
        connections: open at once; the last :attr:`reserved` of them answer probes alone.
        head_seconds: from a connection's beginning, or from the first byte of its next request, to the end of the head.
        rate: bytes per second that a client must send of a body, or take of an answer, while the service waits for it;
            0 for any.
        rate_seconds: time over which that is averaged: for so long a client may pause that was fast before.
        linger_seconds: for how long the rest of a body is read and thrown away after its answer.
        linger_bytes: as many bytes of it at most.
        head_bytes: of one request's head; also of what comes between pieces of a body, such as trailers.
        whole_bytes: a body that is not longer is read before its request begins: who sends it slowly costs a connection
            and nothing else.
        pipelined: requests read ahead while one is answered.
        reserved: connections kept free for probes.
        tick: seconds between looks at the clock.
    """

    connections: int = 4_096
    head_seconds: float = 5.0
    rate: int = 1_024
    rate_seconds: float = 7.0
    linger_seconds: float = 30.0
    linger_bytes: int = 64 << 20
    head_bytes: int = 32 << 10
    whole_bytes: int = 8 << 10
    pipelined: int = 64
    reserved: int = 16
    tick: float = 1.0


def limits_of(settings: Settings) -> Limits:
    """The limits that the settings ask for, as far as the files this process may open go."""
    return Limits(
        connections=affordable(settings.max_connections),
        head_seconds=settings.head_seconds,
        rate=settings.min_bytes_per_second,
    )


def affordable(connections: int) -> int:
    """As many of the connections as fit into ``ulimit -n``, its soft limit raised where the hard one lets it be.

    Each counts twice: an upload keeps its result in a file.
    """
    files = most_files(2 * connections + _OTHER_FILES)
    return max(_FEWEST, min(connections, (files - _OTHER_FILES) // 2))


def most_files(wanted: int = 0) -> int:
    """How many files this process may open: as many as wanted where the system lets it."""
    if sys.platform == "win32":
        return sys.maxsize
    import resource  # noqa: PLC0415 - Unix alone has it

    soft, hard = (
        sys.maxsize if limit == resource.RLIM_INFINITY else limit
        for limit in resource.getrlimit(resource.RLIMIT_NOFILE)
    )
    if soft < wanted and soft < hard:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return soft
