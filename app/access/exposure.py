"""An address that other machines can reach is served with API keys only; and who may ask, told at the start."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from app.access.keys import Key
from models.errors import CounterfoilError


def require_keys(listener: socket.socket, keys: Sequence[Key] | None, path: Path) -> None:
    """Check that an address other machines can reach is served with at least one live key.

    Args:
        listener: bound; closed where it is refused.
        keys: in the file at ``path``; None where there is no file.

    Raises:
        CounterfoilError: it is not.
    """
    host = listener.getsockname()[0]
    now = datetime.now(UTC)
    if ip_address(host.partition("%")[0]).is_loopback or any(key.live(now) for key in keys or ()):
        return
    listener.close()
    raise CounterfoilError(
        f"cannot listen on {host}: other machines can reach it, and {path} holds no live API key, so that anyone could "
        "ask; make one first: counterfoil keys create CLIENT --scope score; or listen on 127.0.0.1"
    )


def say_keys(keys: Sequence[Key] | None, path: Path) -> None:
    """Print who may ask."""
    if keys is None:
        print("No API keys are in use: every program on this machine may ask.", flush=True)
        return
    now = datetime.now(UTC)
    live = sum(key.live(now) for key in keys)
    print(f"{live} live API keys in {path}; KEY stands for one with the scope score.", flush=True)
