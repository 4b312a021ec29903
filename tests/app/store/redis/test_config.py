"""What a server's configuration may cost is told, setting by setting, by servers that are configured so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from redis import Redis

from app.store.contract import Durability
from app.store.redis.store import RedisStore
from tests.app.store.redis.test_store import server
from tests.private_servers import DURABLE

EVERYSEC = ("--appendonly", "yes", "--appendfsync", "everysec")


def told(url: str, durability: Durability = "full") -> list[str]:
    """Each of a store's risks as the setting it begins with and the advice it ends with."""
    store = RedisStore(url, durability=durability)
    store.close()
    assert all(line.startswith("Redis at 127.0.0.1:") and "\n" not in line for line in store.risks)
    return [f"{line.split(': ')[1]}; {line.rpartition('; ')[2]}" for line in store.risks]


@pytest.mark.parametrize(
    ("options", "durability", "expected"),
    [
        (
            ["--appendonly", "no"],
            "full",
            ["appendonly is no; set appendonly yes", "appendfsync is everysec; set appendfsync always"],
        ),
        (["--appendonly", "no"], "normal", ["appendonly is no; set appendonly yes"]),
        (EVERYSEC, "full", ["appendfsync is everysec; set appendfsync always"]),
        (EVERYSEC, "normal", []),
        ([*EVERYSEC, "--appendfsync", "no"], "normal", ["appendfsync is no; set appendfsync everysec"]),
        (
            [*DURABLE, "--no-appendfsync-on-rewrite", "yes"],
            "full",
            ["no-appendfsync-on-rewrite is yes; set no-appendfsync-on-rewrite no"],
        ),
        (
            [*DURABLE, "--maxmemory", "20mb", "--maxmemory-policy", "allkeys-lru"],
            "normal",
            ["maxmemory-policy is allkeys-lru; set maxmemory-policy noeviction"],
        ),
        ([*DURABLE, "--maxmemory", "20mb", "--maxmemory-policy", "volatile-lru"], "full", []),
        ([*DURABLE, "--maxmemory-policy", "allkeys-lru"], "full", []),  # without a bound nothing is ever deleted
    ],
)
def test_each_setting_that_breaks_the_promise(
    tmp_path: Path, options: Sequence[str], durability: Durability, expected: list[str]
) -> None:
    with server(tmp_path, *options) as url:
        assert told(url, durability) == expected


def test_what_is_advised_helps(tmp_path: Path) -> None:
    options = ("--maxmemory", "20mb", "--maxmemory-policy", "allkeys-random", "--no-appendfsync-on-rewrite", "yes")
    with server(tmp_path, "--appendonly", "no", *options) as url, Redis.from_url(url) as client:
        advice = told(url)
        assert len(advice) == 4
        for line in advice:
            client.config_set(*line.rpartition("; set ")[2].split())
        assert told(url) == []


FORBIDDEN = ("--rename-command", "CONFIG", ""), ("--user", *["default", "on", "nopass", "~*", "+@all", "-config"])


@pytest.mark.parametrize("options", FORBIDDEN)
def test_a_server_that_does_not_let_itself_be_asked(tmp_path: Path, options: Sequence[str]) -> None:
    with server(tmp_path, "--appendonly", "no", *options) as url:
        assert told(url) == []
