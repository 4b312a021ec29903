"""A secret that others could read is not taken."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from app.private_file import read_private
from models.errors import InvalidInput

NOBODY = 65_534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A secret of somebody's who is not root."""
    made = tmp_path / "secret"
    made.write_bytes(b"secret")
    if os.geteuid() == 0:
        os.chown(made, NOBODY, NOBODY)
    return made


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_the_owner_alone(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert read_private(path) == b"secret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o440, 0o666])
def test_what_others_may_use_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(InvalidInput, match=f"chmod 600 {re.escape(str(path))}$"):
        read_private(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a file of root's")
def test_of_root_a_group_may_read_it(path: Path) -> None:
    os.chown(path, 0, NOBODY)
    for mode in (0o440, 0o640):
        path.chmod(mode)
        assert read_private(path) == b"secret"
    for mode in (0o444, 0o660, 0o650):
        path.chmod(mode)
        with pytest.raises(InvalidInput, match="others than its owner"):
            read_private(path)


def test_what_is_not_there_stays_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "nothing")
