"""Broker URLs and the file of properties."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.consume.address import Address, parse, read_properties
from models.errors import InvalidInput


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("kafka://one:9093/payments", Address("kafka", "one:9093", "payments")),
        ("kafka://one,two:9093/payments", Address("kafka", "one:9092,two:9093", "payments")),
        ("redis://one/payments", Address("redis", "one:6379", "payments")),
        ("redis://one:6380/2/payments", Address("redis", "one:6380", "payments", 2)),
        ("rediss://[::1]/payments", Address("redis", "::1:6379", "payments", 0, True)),
    ],
)
def test_a_url_names_servers_and_source(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "payments",
        "amqp://one/payments",
        "kafka://one",
        "kafka:///payments",
        "kafka://one/a/b",
        "redis://one/0",
        "redis://one:port/payments",
        "redis://one/payments?db=1",
        "redis://user:hunter2@one/payments",
    ],
)
def test_another_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"broker URL: (expected kafka://|name user and password in)") as refused:
        parse(url)
    assert "hunter2" not in str(refused.value)


def test_properties_are_lines(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("# who\nusername = me\n\npassword=a=b\n")
    assert read_properties(file) == {"username": "me", "password": "a=b"}
    file.write_text("username=me\nhunter2\n")
    with pytest.raises(InvalidInput, match=r"line 2: expected NAME=VALUE$"):
        read_properties(file)
