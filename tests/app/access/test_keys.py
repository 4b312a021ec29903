"""The file of API keys: what is kept, how it changes, what is refused."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.access.key_changes import create_key, revoke_key
from app.access.keys import read_keys
from models.errors import InvalidInput
from tests.app.calls import CARDS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_a_key_is_kept_as_a_hash_for_its_owner_alone(path: Path) -> None:
    assert read_keys(path) is None
    made, key = create_key(path, "switch", ["score", "read", "score"], lifetime=timedelta(days=90), rate=5)
    assert read_keys(path) == (made,)
    prefix, key_id, secret = key.split("_", 2)
    assert (prefix, key_id, len(secret)) == ("cf", made.id, 43)
    assert made.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert (made.client, made.scopes, made.rate) == ("switch", ("score", "read"), 5)
    assert made.expires_at == made.created_at + timedelta(days=90)
    assert secret not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_no_key_is_like_another(path: Path) -> None:
    keys = [create_key(path, f"client-{number}", ["score"]) for number in range(20)]
    assert len({key for _, key in keys}) == len({made.id for made, _ in keys}) == 20


def test_a_client_has_two_live_keys_at_most(path: Path) -> None:
    first, _ = create_key(path, "switch", ["score"])
    create_key(path, "switch", ["score"])
    with pytest.raises(InvalidInput, match=f"counterfoil keys revoke {first.id}"):
        create_key(path, "switch", ["score"])
    create_key(path, "analyst", ["read"])
    assert revoke_key(path, first.id) == first
    create_key(path, "switch", ["score"])
    assert [made.client for made in read_keys(path) or ()] == ["switch", "analyst", "switch"]


def test_an_expired_key_is_not_counted(path: Path) -> None:
    create_key(path, "switch", ["score"], lifetime=timedelta(0))
    for _ in range(2):
        create_key(path, "switch", ["score"])
    with pytest.raises(InvalidInput, match="has 2 live keys"):
        create_key(path, "switch", ["score"])


@pytest.mark.parametrize("client", ["", "a b", "-a", "a\n", "é", "x" * 65, "<a>", CARDS[0]])
def test_a_client_has_a_plain_name(path: Path, client: str) -> None:
    with pytest.raises(InvalidInput, match="client: expected 1 to 64 letters"):
        create_key(path, client, ["score"])
    assert read_keys(path) is None


def test_what_is_not_there_cannot_be_revoked(path: Path) -> None:
    create_key(path, "switch", ["score"])
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match="no key with this id"):
        revoke_key(path, "00000000")
    assert path.read_bytes() == before


def test_a_file_that_others_may_use_is_refused(path: Path) -> None:
    made, _ = create_key(path, "switch", ["score"])
    path.chmod(0o604)
    with pytest.raises(InvalidInput, match=f"chmod 600 {path}"):
        read_keys(path)
    with pytest.raises(InvalidInput, match="chmod 600"):
        revoke_key(path, made.id)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"format": 2}, "format"),
        ({"more": 1}, "more"),
        ({"keys": {}}, "keys"),
        ({"id": "1234567G"}, r"keys\.0\.id"),
        ({"scopes": []}, r"keys\.0\.scopes"),
        ({"scopes": ["write"]}, r"keys\.0\.scopes"),
        ({"sha256": "00"}, r"keys\.0\.sha256"),
        ({"created_at": "2026-01-01T00:00:00"}, r"keys\.0\.created_at"),
        ({"rate": -1}, r"keys\.0\.rate"),
        ({"rate": "5"}, r"keys\.0\.rate"),
        ({"admin": True}, r"keys\.0\.admin"),
    ],
)
def test_a_damaged_file_says_where(path: Path, change: dict[str, Any], where: str) -> None:
    create_key(path, "switch", ["score"])
    content = json.loads(path.read_bytes())
    outer = set(change) <= {"format", "keys", "more"}
    (content if outer else content["keys"][0]).update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match=f"the file of API keys is damaged: {where}"):
        read_keys(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_file_that_is_none_of_ours_is_damaged(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match="the file of API keys is damaged"):
        read_keys(path)


def test_two_keys_of_one_id_are_damage(path: Path) -> None:
    create_key(path, "switch", ["score"])
    content = json.loads(path.read_bytes())
    content["keys"] *= 2
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match="two keys have one id"):
        read_keys(path)


def test_a_folder_is_not_a_file_of_keys(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: Is a directory"):
        read_keys(tmp_path)


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    behind = tmp_path / "mounted" / "secret.json"
    behind.parent.mkdir()
    create_key(behind, "switch", ["score"])
    path.symlink_to(behind)
    create_key(path, "analyst", ["read"])
    assert path.is_symlink()
    assert [made.client for made in read_keys(behind) or ()] == ["switch", "analyst"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change a file's owner")
def test_the_file_keeps_its_owner(path: Path) -> None:
    create_key(path, "switch", ["score"])
    os.chown(path, 10_001, 10_002)
    create_key(path, "analyst", ["read"])
    assert (path.stat().st_uid, path.stat().st_gid) == (10_001, 10_002)


def _create_many(path: Path, worker: int) -> None:
    for number in range(10):
        create_key(path, f"client-{worker}-{number}", ["score"])


def test_processes_that_change_it_at_once_lose_nothing(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_create_many, args=(path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert {made.client for made in read_keys(path) or ()} == {f"client-{w}-{n}" for w in range(3) for n in range(10)}
