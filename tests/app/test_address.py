"""Where the service listens, and how it is reached."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from app.address import listen, reachable, url
from tests.private_servers import missing


def answers(host: str, port: int) -> bool:
    """Somebody takes the connection."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "expected"), [("::", (True, True)), ("::1", (True, False)), ("0.0.0.0", (False, True))]
)
def test_every_address_is_every_address(host: str, expected: tuple[bool, bool]) -> None:
    if not socket.has_dualstack_ipv6():
        missing("this machine has no IPv6")
    with closing(listen(host, 0)) as listener:
        port = listener.getsockname()[1]
        assert (answers("::1", port), answers("127.0.0.1", port)) == expected
        assert answers(reachable(host), port)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("::", "http://[::1]:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("fe80::1", "http://[fe80::1]:80"),
        ("a.b", "http://a.b:80"),
    ],
)
def test_the_url_is_one_that_can_be_asked(host: str, expected: str) -> None:
    assert url(host, 80) == expected
