"""The file of endpoints: changed whole, private, and wrong in no way that is not told. Secrets are told to nobody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.webhooks.endpoint_changes import add_endpoint, enable_endpoint, remove_endpoint, rotate_secret
from app.webhooks.endpoints import MOST_ENDPOINTS, Endpoint, read_endpoints
from models.errors import InvalidInput


def add(path: Path, name: str = "queue", url: str = "https://cases.example/hooks?token=t0ken") -> Endpoint:
    return add_endpoint(path, name, url, decisions=["review", "decline"])


def test_endpoints_are_added_changed_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "webhooks.json"
    assert read_endpoints(path) == ()
    queue, pager = add(path), add_endpoint(path, "pager", "https://pager.example", decisions=["decline"])
    assert read_endpoints(path) == (queue, pager)
    assert path.stat().st_mode & 0o777 == 0o600
    assert enable_endpoint(path, "queue").enabled_at > queue.enabled_at
    remove_endpoint(path, "queue")
    assert read_endpoints(path) == (pager,)


def test_a_secret_that_was_replaced_signs_until_its_time(tmp_path: Path) -> None:
    path, now = tmp_path / "webhooks.json", datetime.now(UTC)
    (first,) = add(path).secrets
    second = rotate_secret(path, "queue", timedelta(hours=24)).secrets[0]
    third = rotate_secret(path, "queue", timedelta(0)).secrets[0]
    (rotated,) = read_endpoints(path)
    assert rotated.signing(now + timedelta(hours=1)) == [third.secret, first.secret]
    assert rotated.signing(now + timedelta(hours=25)) == [third.secret]
    assert len({first.secret, second.secret, third.secret}) == 3


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://cases.example/hooks", "expected https; http has to be allowed"),
        ("ftp://cases.example", "expected a URL"),
        ("https://", "expected a URL"),
        ("https://user:pass@cases.example", "without user, password"),
        ("https://cases.example/#part", "#fragment"),
        ("https://cases.example:99999", "expected a URL"),
        ("https://cases.example/a b", "expected a URL"),
        ("https://cases.example/\r\nX: y", "expected a URL"),
        ("https://[::1", "expected a URL"),
    ],
)
def test_what_is_no_url_is_refused_and_not_repeated(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as error:
        add(tmp_path / "webhooks.json", url=url)
    assert "cases.example" not in str(error.value)


def test_names_are_names_and_each_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / "webhooks.json"
    add(path)
    for name, message in (("queue", "already"), ("a b", "expected 1 to 64"), ("4111111111111111", "expected 1 to 64")):
        with pytest.raises(InvalidInput, match=message):
            add(path, name)
    for number in range(1, MOST_ENDPOINTS):
        add(path, f"n{number}")
    with pytest.raises(InvalidInput, match="20 endpoints, which is the most"):
        add(path, "more")
    for change in (enable_endpoint, remove_endpoint):
        with pytest.raises(InvalidInput, match="no endpoint of this name"):
            change(path, "nobody")


def test_a_damaged_or_open_file_is_refused_without_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "webhooks.json"
    secret = add(path).secrets[0].secret
    good = path.read_text()
    for damaged in (good.replace("whsec_", "whsex_"), good.replace("https:", "gopher:"), good[:-9], good * 2):
        path.write_text(damaged)
        with pytest.raises(InvalidInput, match="file of webhook endpoints is damaged") as error:
            read_endpoints(path)
        assert secret[6:20] not in str(error.value) and "t0ken" not in str(error.value)
    path.write_text(good)
    path.chmod(0o644)
    with pytest.raises(InvalidInput, match="chmod 600"):
        read_endpoints(path)


def test_no_secret_and_no_token_is_in_what_is_shown(tmp_path: Path) -> None:
    queue = add(tmp_path / "webhooks.json")
    assert "whsec_" not in repr(queue) and "t0ken" not in repr(queue)
    assert queue.host == "cases.example"
