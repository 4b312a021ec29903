"""The embedded store: its file, its disk, other programs at the same file."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.store.contract import Store
from app.store.errors import StoreUnavailable
from app.store.open import open_store
from app.store.records import SavedState, View
from models.errors import InvalidInput
from tests.app.store.events import append, decision, key, label, look

A = key("a")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of a name that is hard to put into a URL."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    return folder / "log?%20#.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    found = open_store(f"sqlite:///{file}")
    yield found
    found.close()


@contextmanager
def full_disk(file: Path) -> Iterator[None]:
    """No file of this process may grow beyond what the write-ahead log has now."""
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.with_name(file.name + "-wal").stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_nothing_is_kept_while_the_disk_is_full(store: Store, file: Path) -> None:
    append(store, decision("t1", A), states={A: b"1"})
    with full_disk(file):
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"log.*disk"):
                append(store, decision("t2", A, body="x" * 50_000), label("t2"), states={A: b"2"}, watermark=2)
        assert [event.seq for event in store.log()] == [1]
    assert look(store, ["t2"], [A]) == View({}, {}, {A: SavedState(1, b"1")}, 2)
    assert append(store, decision("t2", A), states={A: b"2"})[0].seq == 2
    assert store.watermark() == 0


def test_a_statement_that_fails_in_the_middle_leaves_nothing(store: Store, file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TRIGGER broken BEFORE INSERT ON labels BEGIN SELECT RAISE(ABORT, 'broken'); END")
        with pytest.raises(StoreUnavailable):
            append(store, decision("t1", A), label("t1"), states={A: b"1"})
        assert look(store, ["t1"], [A]) == View({}, {}, {}, 1)
        other.execute("DROP TRIGGER broken")
    append(store, decision("t1", A), label("t1"))
    assert store.last_seq() == 2


def test_another_program_that_holds_the_file_is_waited_for_and_named(file: Path) -> None:
    with (
        closing(open_store(f"sqlite:///{file}", patience=0.2)) as store,
        closing(sqlite3.connect(file, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another program holds it"):
            append(store, decision("t1"))
        assert store.last_seq() == 0  # reading goes on
        other.execute("ROLLBACK")
    assert append(store, decision("t1"))[0].seq == 1


@pytest.mark.parametrize(("durability", "level"), [("full", 2), ("normal", 1)])
def test_durability_is_sqlites_synchronous(file: Path, durability: str, level: int) -> None:
    from app.store.sql.engines import sqlite_engine

    file.touch()
    engine = sqlite_engine(file, "full" if durability == "full" else "normal", False)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    engine.dispose()


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"disk: no such folder for the database; make it, or mount it"):
        open_store(f"sqlite:///{tmp_path / 'disk' / 'counterfoil.db'}")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="no such folder"):
        open_store(f"sqlite:///{tmp_path / 'file' / 'counterfoil.db'}")


def test_reading_needs_a_database(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no such database"):
        open_store(f"sqlite:///{file}", read_only=True)
    assert not file.exists()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_is_no_database(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database" * 100)
    with pytest.raises(StoreUnavailable, match=r"notes.txt: file is not a database; name another one"):
        open_store(f"sqlite:///{path}", read_only=read_only)
    assert path.read_text() == "not a database" * 100


def test_reading_a_database_that_nobody_has_open(file: Path) -> None:
    first = open_store(f"sqlite:///{file}")
    append(first, decision("t1"))
    first.close()
    before = file.read_bytes()
    reader = open_store(f"sqlite:///{file}", read_only=True)
    assert reader.last_seq() == 1
    reader.close()
    assert file.read_bytes() == before
