"""The URL of a broker, taken apart; and the file with what does not belong on a command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from models.errors import InvalidInput

_EXPECTED = (
    "expected kafka://HOST:9092/TOPIC (several brokers: kafka://ONE:9092,TWO:9092/TOPIC) or "
    "redis://HOST:6379/STREAM (rediss:// with TLS; in another database: redis://HOST:6379/1/STREAM)"
)
_CREDENTIALS = "name user and password in the file of --broker-config: a command line can be read by others"


@dataclass(frozen=True, slots=True)
class Address:
    """Where transactions come from.

    Attributes:
        servers: ``HOST:PORT``, several of Kafka separated by commas.
        source: the topic or stream.
        database: of Redis.
        tls: of Redis; with Kafka the configuration says so.
    """

    kind: Literal["kafka", "redis"]
    servers: str
    source: str
    database: int = 0
    tls: bool = False


def parse(url: str) -> Address:
    """Take a URL apart.

    Raises:
        InvalidInput: it is none of a broker. The message repeats nothing of it.
    """
    try:
        parts = urlsplit(url)
        kafka = parts.scheme == "kafka"
        if not kafka:
            parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        raise InvalidInput(f"broker URL: {_EXPECTED}") from None
    names = parts.path.strip("/").split("/")
    if parts.query or parts.fragment or not parts.netloc:
        raise InvalidInput(f"broker URL: {_EXPECTED}")
    if "@" in parts.netloc:
        raise InvalidInput(f"broker URL: {_CREDENTIALS}")
    if kafka and len(names) == 1 and names[0]:
        return Address("kafka", _with_ports(parts.netloc), names[0])
    if parts.scheme in ("redis", "rediss") and names[-1] and not (len(names) == 1 and names[0].isdecimal()):
        if len(names) == 1:
            return _redis(parts, names[0], 0)
        if len(names) == 2 and names[0].isdecimal():
            return _redis(parts, names[1], int(names[0]))
    raise InvalidInput(f"broker URL: {_EXPECTED}")


def _with_ports(servers: str) -> str:
    return ",".join(one if ":" in one else f"{one}:9092" for one in servers.split(","))


def _redis(parts: SplitResult, stream: str, database: int) -> Address:
    servers = f"{parts.hostname}:{parts.port or 6379}"
    return Address("redis", servers, stream, database, parts.scheme == "rediss")


def read_properties(file: Path | None) -> dict[str, str]:
    """``name=value`` lines, as Kafka's own tools read them; blank lines and those that begin with ``#`` say nothing.

    Raises:
        InvalidInput: naming the line, never what stands in it.
    """
    if file is None:
        return {}
    properties = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            name, given, value = text.partition("=")
            if not given:
                raise InvalidInput(f"{file}: line {number}: expected NAME=VALUE")
            properties[name.strip()] = value.strip()
    return properties
