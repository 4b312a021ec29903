"""A Kafka topic: what is committed, and what becomes of partitions while the worker waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from app.consume.address import parse
from app.consume.broker import Message, Settled
from app.consume.kafka import Kafka
from models.errors import CounterfoilError
from tests.kafka_cluster import Cluster, cluster
from tests.waiting import until

QUICK = {"session.timeout.ms": "1000", "heartbeat.interval.ms": "200"}


@pytest.fixture
def kafka() -> Iterator[Cluster]:
    with cluster() as kafka:
        kafka.create("payments")
        kafka.create("dead")
        kafka.send("payments", [b"1", b"2", b"3"])
        yield kafka


def member(kafka: Cluster, name: str | None = None) -> closing[Kafka]:
    return closing(Kafka(parse(f"kafka://{kafka.servers}/payments"), "group", name, None, "dead", QUICK))


def read(one: Kafka, most: int) -> list[bytes | None]:
    return [message.value for message in messages(one, most)]


def messages(one: Kafka, most: int) -> Sequence[Message]:
    return until(lambda: one.read(most), "messages")


def test_what_is_settled_is_committed_and_nothing_else(kafka: Cluster) -> None:
    with member(kafka) as one:
        first = messages(one, 1)
        one.settle([Settled(message, b"{}") for message in first])
        assert one.lag() == 2
        assert read(one, 9) == [b"2", b"3"]
    with member(kafka) as one:
        assert read(one, 9) == [b"2", b"3"]


def test_a_worker_that_waits_loses_nothing(kafka: Cluster) -> None:
    with member(kafka) as one:
        assert read(one, 1) == [b"1"]
        for _ in range(3):
            one.keep()
        kafka.send("payments", [b"4"])
        one.keep()
        found: list[bytes | None] = []

        def rest() -> bool:
            found.extend(message.value for message in one.read(9))
            return len(found) == 3

        until(rest, "the rest")
        assert found == [b"2", b"3", b"4"]


def test_a_topic_that_is_gone_and_a_broker_that_is_down_are_told(kafka: Cluster) -> None:
    with pytest.raises(CounterfoilError, match="has no topic elsewhere"):
        Kafka(parse(f"kafka://{kafka.servers}/elsewhere"), "group", None, None, "dead", QUICK)
    with pytest.raises(CounterfoilError, match=r"--broker-config: .*session\.timeout\.ms"):
        Kafka(parse(f"kafka://{kafka.servers}/payments"), "group", None, None, "dead", {"session.timeout.ms": "x"})
