"""Where the service listens, and how it is reached from the same machine."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from models.errors import CounterfoilError

#: Every address of the machine, and the one of them that the machine itself can ask.
_EVERY = {"0.0.0.0": "127.0.0.1", "::": "::1"}

#: New connections taken in one round of the event loop.
_AT_ONCE = 16


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections; on ``::``, every IPv6 address, those of IPv4 too.

    Raises:
        CounterfoilError: the address or the port cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        both = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server(address[:2], family=family, backlog=2_048, dualstack_ipv6=both)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        advice = (
            "choose another --host"
            if isinstance(error, socket.gaierror)
            else "stop what uses it or choose another --port"
        )
        raise CounterfoilError(f"cannot listen on {host} port {port}: {reason.lower()}; {advice}") from None


def is_loopback(host: str) -> bool:
    """Whether a name or an address is this machine, for itself alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def reachable(host: str) -> str:
    """What to connect to for a service that listens on this host."""
    return _EVERY.get(host, host)


def url(host: str, port: int) -> str:
    """The same as a URL."""
    name = reachable(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def handles(listener: socket.socket) -> list[socket.socket]:
    """The listener several times over: the loop takes one new connection of each in a round, and a round is long while
    much is asked, so that by one alone new clients would wait for seconds."""
    return [listener, *(listener.dup() for _ in range(_AT_ONCE - 1))]
