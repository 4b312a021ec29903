"""A Kafka cluster of a test's own: the mock brokers of librdkafka, which speak Kafka's protocol on loopback ports.

No Kafka is installed with the tests. These brokers keep a log, groups and offsets in memory, so producers and consumers
of other processes use them as they would the real ones; they replicate nothing and survive nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import confluent_kafka
from confluent_kafka import Consumer, Message, Producer

from tests.waiting import FAR, until

_PRODUCER = 0


class Cluster:
    """One broker.

    Attributes:
        servers: its address.
    """

    def __init__(self, mock: int) -> None:
        self._mock = ctypes.c_void_p(mock)
        self.servers = _library().rd_kafka_mock_cluster_bootstraps(self._mock).decode()
        _library().rd_kafka_mock_group_initial_rebalance_delay_ms(self._mock, 0)
        # Compressed: these brokers keep 5 MB of a partition, then they forget the oldest.
        packed = {"linger.ms": 20, "compression.type": "zstd"}
        self._producer = Producer({"bootstrap.servers": self.servers, **packed})

    def create(self, topic: str, partitions: int = 1) -> None:
        """Make a topic."""
        assert _library().rd_kafka_mock_topic_create(self._mock, topic.encode(), partitions, 1) == 0

    def send(self, topic: str, values: list[bytes | None], keys: list[bytes] | None = None) -> None:
        """Write messages; those with the same key go to one partition."""
        for number, value in enumerate(values):
            self._producer.produce(topic, value, None if keys is None else keys[number])
            self._producer.poll(0)
        assert self._producer.flush(FAR) == 0

    def read(self, topic: str, most: int) -> list[Message]:
        """The first so many messages of a topic, once they are there."""
        consumer = Consumer(
            {"bootstrap.servers": self.servers, "group.id": f"{topic}-reader", "auto.offset.reset": "earliest"}
        )
        found: list[Message] = []
        consumer.subscribe([topic])

        def read() -> bool:
            found.extend(consumer.consume(most, 0.2))
            return len(found) >= most

        until(read, f"messages of {topic}")
        consumer.close()
        assert all(one.error() is None for one in found)
        return found

    def down(self, *, down: bool) -> None:
        """Take the broker down, or up again; it keeps what it has."""
        change = _library().rd_kafka_mock_broker_set_down if down else _library().rd_kafka_mock_broker_set_up
        assert change(self._mock, 1) == 0


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster for as long as it is needed."""
    error = ctypes.create_string_buffer(512)
    handle = _library().rd_kafka_new(_PRODUCER, None, error, len(error))
    assert handle, error.value
    mock = _library().rd_kafka_mock_cluster_new(ctypes.c_void_p(handle), 1)
    try:
        yield Cluster(mock)
    finally:
        _library().rd_kafka_mock_cluster_destroy(ctypes.c_void_p(mock))
        _library().rd_kafka_destroy(ctypes.c_void_p(handle))


@cache
def _library() -> ctypes.CDLL:
    """librdkafka, as the client's wheel brings it: the client itself has no call for the mock brokers."""
    (file,) = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka-*")
    library = ctypes.CDLL(str(file))
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library
