"""Who is admitted, how often, and how changes of the file are taken over."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.bucket import Bucket
from app.access.key_changes import create_key, revoke_key
from app.access.keyring import Keyring, Need
from app.problems import Refused, response


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def bearer(key: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"test"), (b"authorization", f"Bearer {key}".encode())]


def refusal(ring: Keyring, key: str) -> Refused:
    with pytest.raises(Refused) as caught:
        ring.admit(bearer(key), "score")
    return caught.value


def test_without_a_file_everyone_is_admitted_as_nobody(path: Path) -> None:
    ring = Keyring(path, 0)
    assert not ring.required
    assert ring.admit([], "admin") is None


def test_a_key_admits_to_its_scopes(path: Path) -> None:
    _, score = create_key(path, "switch", ["score"])
    _, admin = create_key(path, "operator", ["admin"])
    ring = Keyring(path, 0)
    assert ring.admit(bearer(score), "score") == ring.admit(bearer(score), "any key") == "switch"
    for need in ("read", "feedback", "metrics", "admin"):
        with pytest.raises(Refused, match=f"does not have the scope {need}"):
            ring.admit(bearer(score), need)
    everything: tuple[Need, ...] = ("score", "read", "feedback", "metrics", "admin", "any key")
    assert {ring.admit(bearer(admin), need) for need in everything} == {"operator"}


def test_a_file_of_no_live_key_admits_nobody(path: Path) -> None:
    made, key = create_key(path, "switch", ["score"])
    revoke_key(path, made.id)
    ring = Keyring(path, 0)
    assert ring.required
    assert refusal(ring, key).kind == "unauthorized"


def test_changes_are_taken_over(path: Path) -> None:
    ring = Keyring(path, 0)
    made, first = create_key(path, "switch", ["score"])
    ring.look()
    assert ring.admit(bearer(first), "score") == "switch"
    _, second = create_key(path, "switch", ["score"], lifetime=timedelta(days=1))
    revoke_key(path, made.id)
    ring.look()
    assert ring.admit(bearer(second), "score") == "switch"
    assert str(refusal(ring, first)) == "the API key is unknown or was revoked"


@pytest.mark.parametrize("damage", ["damaged", "gone", "open to others"])
def test_the_last_good_keys_stay_while_the_file_is_bad(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, key = create_key(path, "switch", ["score"])
    ring = Keyring(path, 0)
    good = path.read_bytes()
    if damage == "damaged":
        path.write_bytes(good[:-5])
    elif damage == "gone":
        path.unlink()
    else:
        path.chmod(0o644)
    for _ in range(3):
        ring.look()
        assert ring.admit(bearer(key), "score") == "switch"
        assert refusal(ring, key[:-1] + ("A" if key[-1] != "A" else "B")).kind == "unauthorized"
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1  # said once, not with every look
    assert "The keys read before stay good" in errors[0]
    path.write_bytes(good)
    path.chmod(0o600)
    _, another = create_key(path, "analyst", ["score"])
    ring.look()
    assert ring.admit(bearer(another), "score") == "analyst"


def test_a_rate_holds_for_each_key_and_through_a_change_of_the_file(path: Path) -> None:
    _, first = create_key(path, "switch", ["score"])
    _, own = create_key(path, "shop", ["score"], rate=3 / 3_600)
    _, free = create_key(path, "batch", ["score"], rate=0)
    ring = Keyring(path, 2 / 3_600)
    for key, seconds in ((first, 1_800), (own, 1_200)):
        ring.admit(bearer(key), "score")
        limited = refusal(ring, key)
        assert limited.kind == "rate-limited"
        reply = response(limited, "id")
        assert reply.status_code == 429
        assert seconds - 60 <= int(reply.headers["Retry-After"]) <= seconds
    create_key(path, "another", ["score"])
    ring.look()
    assert refusal(ring, first).kind == "rate-limited"
    for _ in range(100):
        ring.admit(bearer(free), "score")


def test_what_is_forbidden_counts_as_well(path: Path) -> None:
    _, key = create_key(path, "switch", ["read"], rate=1 / 3_600)
    ring = Keyring(path, 0)
    assert [refusal(ring, key).kind for _ in range(2)] == ["forbidden", "rate-limited"]


def test_a_bucket_holds_one_second_and_at_least_one_token() -> None:
    fast = Bucket(5)
    assert [fast.take(100) for _ in range(5)] == [0] * 5
    assert fast.take(100) == pytest.approx(0.2)
    assert fast.take(100.2) == 0
    assert fast.take(100.2) == pytest.approx(0.2)
    slow = Bucket(0.1)
    assert slow.take(7) == 0
    assert slow.take(7) == pytest.approx(10)
    assert slow.take(16.5) == pytest.approx(0.5)
    assert slow.take(17.5) == 0


@given(st.floats(0.01, 1_000), st.lists(st.floats(0, 3), max_size=200))
def test_no_bucket_gives_more_than_its_rate_and_one_burst(rate: float, pauses: list[float]) -> None:
    bucket, now, given_out = Bucket(rate), 50.0, 0
    for pause in pauses:
        now += pause
        wait = bucket.take(now)
        given_out += wait == 0
        assert wait <= 1 / rate * (1 + 1e-9)
    assert given_out <= max(1, rate) + (now - 50) * rate + 1e-6
