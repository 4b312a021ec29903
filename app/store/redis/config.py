"""What of a Redis server's configuration breaks the promise to keep what it acknowledges."""

from __future__ import annotations

from app.store.contract import Durability
from app.store.errors import StoreUnavailable
from app.store.redis.wire import Lost, Wires

_ASKED = ("appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory", "maxmemory-policy")


def risks(wires: Wires, durability: Durability) -> tuple[str, ...]:
    """A line for each setting of the server that may cost what was acknowledged, and what to set. None where the server
    may not be asked, as managed ones often may not.

    Raises:
        StoreUnavailable: it cannot be reached.
    """
    wires.one("PING")
    try:
        replies = wires.run(*(("CONFIG", "GET", name) for name in _ASKED))
    except Lost:
        raise
    except StoreUnavailable:
        return ()
    told = {name.decode(): value.decode() for name, value in filter(None, replies)}
    synced, policy = told.get("appendfsync", "always"), told.get("maxmemory-policy", "noeviction")
    found = []
    if told.get("appendonly") == "no":
        found.append("appendonly is no: what is acknowledged is gone when the server ends; set appendonly yes")
    if durability == "full" and synced != "always":
        found.append(f"appendfsync is {synced}: a power cut takes the last moments; set appendfsync always")
    if durability == "normal" and synced == "no":
        found.append("appendfsync is no: a power cut may take half a minute; set appendfsync everysec")
    if durability == "full" and told.get("no-appendfsync-on-rewrite") == "yes":
        found.append(
            "no-appendfsync-on-rewrite is yes: a power cut takes what came while the append-only file was rewritten; "
            "set no-appendfsync-on-rewrite no"
        )
    if told.get("maxmemory", "0") != "0" and policy.startswith("allkeys"):  # the others spare keys that do not expire
        found.append(
            f"maxmemory-policy is {policy}: from {told['maxmemory']} bytes on, what was recorded is deleted; "
            "set maxmemory-policy noeviction"
        )
    return tuple(f"{wires.name}: {line}" for line in found)
