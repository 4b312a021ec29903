"""``counterfoil keys``: made, listed, taken back; the key itself on standard output, once."""

from __future__ import annotations

import re

import pytest

from app.access.keys import read_keys
from tests.command_line import Cli

KEY = re.compile(r"cf_([0-9a-f]{8})_[A-Za-z0-9_-]{43}\n")


def test_a_key_is_made_listed_and_revoked(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERFOIL_KEYS_FILE", str(cli.folder / "own.json"))
    made = cli("keys", "create", "switch", "--scope", "score", "--scope", "read", "--expires", "90d", "--rate", "100")
    assert made.code == 0
    match = KEY.fullmatch(made.out)  # nothing else: KEY=$(counterfoil keys create ...)
    assert match
    assert f"Key {match[1]} of switch in {cli.folder / 'own.json'}: score, read, until " in made.err
    forever = cli("keys", "create", "analyst", "--scope", "admin")
    listed = cli("keys", "list")
    assert listed.code == 0
    rows = listed.out.splitlines()
    assert re.search(rf"{match[1]} +switch +score, read +[-\d]+ [\d:]+ +[-\d]+ [\d:]+ +100", rows[1])
    assert re.search(r"analyst +admin +[-\d]+ [\d:]+ +never +as set", rows[2])
    for key in (made.out, forever.out):
        assert key.strip()[12:] not in listed.out + made.err + forever.err
    revoked = cli("keys", "revoke", match[1])
    assert (revoked.code, revoked.out) == (0, f"Revoked: key {match[1]} of switch\n")
    assert [key.client for key in read_keys(cli.folder / "own.json") or ()] == ["analyst"]


def test_a_narrow_terminal_cuts_nothing_off(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cli("keys", "create", "a-rather-long-name-of-a-client", "--scope", "score", "--scope", "read")
    monkeypatch.setenv("COLUMNS", "40")
    assert f"{made.out[3:11]}  a-rather-long-name-of-a-client  score, read" in cli("keys", "list").out


def test_no_keys_are_said_so(cli: Cli) -> None:
    done = cli("keys", "list")
    assert (done.code, done.out) == (
        0, "No keys in keys.json. To make one: counterfoil keys create CLIENT --scope score\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "a b", "--scope", "score"), "client: expected 1 to 64 letters"),
        (("create", "a", "--scope", "score", "--expires", "2w"), "--expires: a duration is"),
        (("create", "a", "--scope", "score", "--expires", "0d"), "--expires: expected more than 0"),
        (("create", "a", "--scope", "score", "--expires", "999999d"), "--expires: expected more than 0 and at most"),
        (("create", "a", "--scope", "score", "--rate", "-1"), "--rate: expected a number from 0"),
        (("create", "a", "--scope", "score", "--rate", "nan"), "--rate: expected a number from 0"),
        (("create", "a", "--scope", "write"), "Invalid value for '--scope'"),
        (("create", "a"), "Missing option '--scope'"),
        (("revoke", "1234abcd"), "keys.json holds no key with this id"),
    ],
)
def test_what_cannot_be_done_says_why(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    done = cli("keys", *arguments)
    assert done.code == 2
    assert message in done.err
    assert not list(cli.folder.iterdir())


@pytest.mark.parametrize("command", ["create", "list", "revoke"])
def test_help_shows_an_example(cli: Cli, command: str) -> None:
    done = cli("keys", command, "--help")
    assert done.code == 0
    assert f"Example: counterfoil keys {command}" in done.out
