"""What a worker refuses to begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.consume.run import Options, run
from models.errors import CounterfoilError
from tests import servers
from tests.kafka_cluster import cluster

REDIS, SERVICE = "redis://127.0.0.1:1/payments", "http://127.0.0.1:1"


def refused(**options: object) -> str:
    with pytest.raises(CounterfoilError) as found:
        run(Options(**{"url": REDIS, "service": SERVICE, **options}))  # type: ignore[arg-type]
    return str(found.value)


def test_options_that_cannot_be_are_told(tmp_path: Path) -> None:
    assert refused(metrics="9100") == "--metrics: expected HOST:PORT, e.g. 127.0.0.1:9100"
    assert "must not go where the transactions come from" in refused(results="payments")
    assert "must not go where the transactions come from" in refused(dead_letters="payments")
    properties = tmp_path / "client.properties"
    properties.write_text("decode_responses=hunter2")
    told = refused(properties=properties)
    assert (
        told.startswith("--broker-config: decode_responses: expected one of username, password")
        and told.count("2") == 0
    )
    assert refused() == "Redis at 127.0.0.1:1 does not answer: ConnectionError"


def test_what_redis_lacks_is_told(tmp_path: Path) -> None:
    url = servers.redis()
    assert "has no stream missing. An empty one: redis-cli XGROUP CREATE missing" in refused(url=f"{url}/missing")
    properties = tmp_path / "client.properties"
    properties.write_text("username=nobody\npassword=hunter2")
    assert refused(url=f"{url}/missing", properties=properties).endswith("refuses user or password")
    from redis import Redis

    with Redis.from_url(url) as client:
        client.set("a-text", "x")
    assert "has a string in place of a stream a-text" in refused(url=f"{url}/a-text")
    assert "has a string in place of a stream a-text" in refused(url=f"{url}/missing", dead_letters="a-text")


def test_what_kafka_lacks_is_told(tmp_path: Path) -> None:
    with cluster() as kafka:
        url = f"kafka://{kafka.servers}/payments"
        assert "has no topic payments. To make it: kafka-topics --create --topic payments" in refused(url=url)
        kafka.create("payments")
        assert "has no topic payments-dead-letters" in refused(url=url)
        properties = tmp_path / "client.properties"
        properties.write_text("session.timeout=1")
        assert refused(url=url, properties=properties) == (
            '--broker-config: No such configuration property: "session.timeout"'
        )
