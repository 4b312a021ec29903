"""Messages from a Kafka topic: offsets are committed by hand, of what is settled; partitions pause while it waits."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka import Message as KafkaMessage

from app.consume.address import Address
from app.consume.broker import Message, Reason, Settled, Unavailable, dead_letter
from models.errors import CounterfoilError, InvalidInput

#: Seconds to wait for the first message, and for others beside it; for what a broker is asked.
_FIRST, _MORE, _PATIENCE = 1.0, 0.02, 10.0
#: What waiting does not mend.
_FOR_GOOD = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: "there is no such topic any more",
    KafkaError._UNKNOWN_TOPIC: "there is no such topic any more",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "the broker lets this user not at it",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "the broker lets this user not into the group",
    KafkaError.MSG_SIZE_TOO_LARGE: "a message is larger than the broker takes",
    KafkaError._FENCED: "another worker of the same --name has taken its place",
    KafkaError.FENCED_INSTANCE_ID: "another worker of the same --name has taken its place",
}
_log = logging.getLogger(__name__)
Headers = list[tuple[str, str | bytes | None]]


class Kafka:
    """A member of a consumer group.

    Args:
        group: its name.
        name: of this worker: one that comes back under its name within the session timeout has its partitions at
            once, without a rebalance (static membership). None: a member without a name.
        results: the topic for answers, if any.
        dead_letters: the topic for what can never be scored.
        properties: of librdkafka, on top.

    Raises:
        CounterfoilError: no broker answers, or a topic is missing.
        InvalidInput: a property is none.
    """

    def __init__(
        self,
        address: Address,
        group: str,
        name: str | None,
        results: str | None,
        dead_letters: str,
        properties: Mapping[str, str],
    ) -> None:
        common: dict[str, Any] = {
            "client.id": "counterfoil",
            **properties,
            "bootstrap.servers": address.servers,
            "error_cb": _tell,
        }
        member = {"group.instance.id": name} if name else {}
        reading = {"auto.offset.reset": "earliest", **common, **member, "group.id": group, "enable.auto.commit": False}
        self._source, self._results, self._dead_letters = address.source, results, dead_letters
        try:
            self._consumer = Consumer(reading, logger=_log)
            self._producer = Producer({**common, "enable.idempotence": True}, logger=_log)
            for topic in filter(None, (self._source, dead_letters, results)):
                self._require(topic, address)
            self._consumer.subscribe([self._source])
        except KafkaException as error:
            raise _failure(error.args[0], f"Kafka at {address.servers}") from None
        self._early: deque[KafkaMessage] = deque()
        self._paused = False

    def read(self, most: int) -> Sequence[Message]:
        """See the protocol."""
        if self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused = False
        found = [self._early.popleft() for _ in range(min(most, len(self._early)))]
        if not found:
            found = self._consumer.consume(1, _FIRST)
            if found and most > 1:
                found += self._consumer.consume(most - 1, _MORE)
        return [_message(one) for one in found if self._is_message(one)]

    def keep(self) -> None:
        """See the protocol. Asking for messages is what keeps a member in its group; paused, it gets none."""
        self._consumer.pause(self._consumer.assignment())
        self._paused = True
        one = self._consumer.poll(0)
        if one is not None and self._is_message(one):  # of a partition that was assigned this very moment
            self._early.append(one)

    def settle(self, settled: Sequence[Settled]) -> None:
        """See the protocol."""
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: KafkaMessage) -> None:
            if error is not None:
                failures.append(error)

        for one in settled:
            message, outcome = one.message, one.outcome
            if isinstance(outcome, Reason):
                value, key, why = dead_letter(message, outcome)
                headers: Headers = [(f"counterfoil.{name}", text.encode()) for name, text in why.items()]
                self._produce(self._dead_letters, value, key, headers, delivered)
            elif self._results is not None:
                self._produce(self._results, outcome, message.key, [], delivered)
        while self._producer.flush(_FIRST):
            self.keep()
        if failures:
            raise _failure(failures[0], "Kafka")
        self._commit(settled)

    def lag(self) -> int | None:
        """See the protocol."""
        try:
            assigned = self._consumer.assignment()
            if not assigned:
                return None
            lag = 0
            for committed in self._consumer.committed(assigned, timeout=_PATIENCE):
                low, high = self._consumer.get_watermark_offsets(committed, timeout=_PATIENCE)
                lag += high - (low if committed.offset == OFFSET_INVALID else max(committed.offset, low))
            return lag
        except (KafkaException, TypeError):  # TypeError: get_watermark_offsets gives None where it took too long
            return None

    def close(self) -> None:
        """See the protocol."""
        self._consumer.close()

    def _require(self, topic: str, address: Address) -> None:
        found = self._consumer.list_topics(topic, timeout=_PATIENCE).topics[topic]
        if found.error is not None:
            if found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KafkaException(found.error)
            raise CounterfoilError(
                f"Kafka at {address.servers} has no topic {topic}. To make it: kafka-topics --create --topic {topic} "
                f"--bootstrap-server {address.servers}"
            )

    def _is_message(self, message: KafkaMessage) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal() or error.code() in _FOR_GOOD:
            raise _failure(error, f"Kafka topic {self._source}")
        _log.warning("Kafka: %s", error.str())
        return False

    def _produce(self, topic: str, value: bytes | None, key: bytes | None, headers: Headers, delivered: Any) -> None:
        while True:
            try:
                self._producer.produce(topic, value=value, key=key, headers=headers, on_delivery=delivered)
                self._producer.poll(0)
                return
            except BufferError:  # its queue is full: let it send
                self._producer.poll(_FIRST)
                self.keep()
            except KafkaException as error:
                raise _failure(error.args[0], f"Kafka topic {topic}") from None

    def _commit(self, settled: Sequence[Settled]) -> None:
        """Commit what is still this member's. Another one that has got a partition meanwhile reads it again."""
        ends = {}
        for one in settled:
            topic, partition, offset = one.message.token
            ends[topic, partition] = offset + 1
        mine = {(one.topic, one.partition) for one in self._consumer.assignment()}
        offsets = [TopicPartition(*place, offset) for place, offset in ends.items() if place in mine]
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            failure = _failure(error.args[0], "Kafka")
            if not isinstance(failure, Unavailable):
                raise failure from None
            _log.warning("offsets are not committed, and the messages may be read again: %s", failure)


def _message(message: KafkaMessage) -> Message:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    value, key = message.value(), message.key()
    origin = {"topic": str(topic), "partition": str(partition), "offset": str(offset)}
    return Message(_bytes(value), _bytes(key), origin, (topic, partition, offset))


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def _failure(error: KafkaError, where: str) -> CounterfoilError:
    if error.code() in (KafkaError._INVALID_ARG, KafkaError._CONFLICT):
        return InvalidInput(f"--broker-config: {error.str()}")
    if error.code() in _FOR_GOOD or error.fatal():
        return CounterfoilError(f"{where}: {_FOR_GOOD.get(error.code(), error.str())}")
    return Unavailable(f"{where}: {error.str()}")


def _tell(error: KafkaError) -> None:
    """What librdkafka mends by itself; it says more in its own log lines."""
    _log.warning("Kafka: %s", error.str())
