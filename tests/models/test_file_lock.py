"""One process at a time holds a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from models.file_lock import try_lock


def test_one_holds_it_until_it_lets_go(tmp_path: Path) -> None:
    held = try_lock(tmp_path / "it")
    assert held is not None
    assert try_lock(tmp_path / "it") is None
    os.close(held)
    again = try_lock(tmp_path / "it")
    assert again is not None
    os.close(again)


def test_what_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        try_lock(tmp_path / "nowhere" / "it")
