"""A file is replaced whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from models.aside import written_aside
from models.errors import InvalidInput


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old")
    with written_aside(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
        assert aside.parent == path.parent
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_a_failure_the_old_file_is_there_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old")
    with pytest.raises(failure), written_aside(path) as aside:
        aside.write_text("half")
        raise failure
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_says_which_file_it_was(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, written_aside(tmp_path / "t.csv"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / "t.csv")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidInput, match=r"nowhere/t\.csv: cannot be written: No such file or directory"),
        written_aside(tmp_path / "nowhere" / "t.csv"),
    ):
        pass


def test_a_folder_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with (
        pytest.raises(InvalidInput, match=r"t\.csv: cannot be written: it is a folder"),
        written_aside(tmp_path / "t.csv"),
    ):
        pass
    assert len(list(tmp_path.iterdir())) == 1
