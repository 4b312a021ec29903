"""The files of an embedded store: one owner whatever name a file goes by, and nothing acknowledged into a file that is
not where it is looked for."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.store.contract import Store
from app.store.errors import StoreInUse, StoreUnavailable
from app.store.open import open_store
from app.store.records import SavedState
from tests.app.store.events import append, decision, key, look
from tests.app.store.processes import WRITER, python

A = key("a")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store" / "log.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    with closing(opened(file)) as found:
        append(found, decision("t1", A), states={A: b"1"})
        yield found


def opened(file: Path, read_only: bool = False) -> Store:
    return open_store(f"sqlite:///{file}", read_only=read_only)


def ids(store: Store) -> list[object]:
    return [getattr(event, "transaction_id", None) for event in store.log()]


@contextmanager
def under(name: str, file: Path, folder: Path) -> Iterator[Path]:
    """Another path to the same file."""
    folder.mkdir()
    other = folder / "other.db"
    if name == "bind mount":
        other.touch()
        done = subprocess.run(["mount", "--bind", file, other], check=False, capture_output=True)
        if done.returncode:
            pytest.skip("this user may not mount")
        try:
            yield other
        finally:
            subprocess.run(["umount", "--lazy", other], check=True)
        return
    if name == "symbolic link":
        other.symlink_to(file)
    elif name == "hard link":
        other.hardlink_to(file)
    else:
        folder.rmdir()
        folder.symlink_to(file.parent)
        other = folder / file.name
    yield other


NAMES = ["symbolic link", "hard link", "link to its folder", "bind mount"]


@pytest.mark.parametrize("name", NAMES)
def test_a_second_owner_by_another_name_is_refused_and_leaves_nothing(file: Path, tmp_path: Path, name: str) -> None:
    with closing(opened(file)) as first:
        append(first, decision("t1", A), states={A: b"1"})
    with python(WRITER, f"sqlite:///{file}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with under(name, file, tmp_path / "b") as other:
            before = set(other.parent.iterdir())
            with pytest.raises(StoreInUse, match=r"another process.*owns this store.*stop it"):
                opened(other)
            assert set(other.parent.iterdir()) == before
            process.kill()
            process.wait()
            if name in ("symbolic link", "link to its folder"):  # the same name, in the end
                with closing(opened(other)) as second:
                    assert append(second, decision("after"))[0].seq == second.last_seq()


@pytest.mark.parametrize("name", NAMES)
def test_a_second_owner_in_the_same_process_is_refused(store: Store, file: Path, tmp_path: Path, name: str) -> None:
    with under(name, file, tmp_path / "b") as other:
        for _ in range(2):
            with pytest.raises(StoreInUse):
                opened(other)
        append(store, decision("t2"))
        # SQLite's own locks are still there: nobody else can have the file for itself.
        with closing(sqlite3.connect(file, timeout=0)) as beside, pytest.raises(sqlite3.OperationalError, match="lock"):
            beside.execute("PRAGMA journal_mode=DELETE")


@pytest.mark.parametrize("name", ["hard link", "bind mount"])
def test_a_reader_by_another_name_would_miss_what_is_new(store: Store, file: Path, tmp_path: Path, name: str) -> None:
    with python(WRITER, f"sqlite:///{tmp_path / 'its.db'}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with (
            under(name, tmp_path / "its.db", tmp_path / "b") as other,
            pytest.raises(StoreInUse, match="owns this file under another name"),
        ):
            opened(other, read_only=True)
        with closing(opened(tmp_path / "its.db", read_only=True)) as reader:
            assert reader.last_seq() >= 0


def test_the_lock_is_gone_with_its_owner(file: Path) -> None:
    lock = file.with_name("log.db.lock")
    with closing(opened(file)):
        assert lock.read_text() == str(os.getpid())
        with pytest.raises(StoreInUse):
            opened(file)
        assert lock.exists()
    assert not lock.exists()
    file.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreUnavailable):
        opened(file)
    assert not lock.exists()


def test_a_lock_file_that_was_removed_lets_nobody_else_in(store: Store, file: Path) -> None:
    file.with_name("log.db.lock").unlink()
    with pytest.raises(StoreInUse):
        opened(file)
    assert sorted(path.name for path in file.parent.iterdir()) == ["log.db", "log.db-shm", "log.db-wal"]


def test_many_that_open_and_close_at_once_are_one_at_a_time(file: Path) -> None:
    owners: list[int] = []
    most = 0

    def often() -> None:
        nonlocal most
        for _ in range(30):
            try:
                found = opened(file)
            except StoreInUse:
                continue
            owners.append(1)
            most = max(most, len(owners))
            owners.pop()
            found.close()

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert [path.name for path in file.parent.iterdir()] == ["log.db"]


def remove(file: Path, aside: Path) -> None:
    """All of it is taken away, in a moved folder."""
    aside.mkdir()
    for path in sorted(file.parent.iterdir()):
        path.rename(aside / path.name)


def remove_the_database(file: Path, aside: Path) -> None:
    aside.mkdir()
    file.rename(aside / file.name)


def replace(file: Path, aside: Path) -> None:
    """A backup takes its place."""
    remove_the_database(file, aside)
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE backup (x)")


def point_elsewhere(file: Path, aside: Path) -> None:
    remove(file, aside)
    elsewhere = aside / "elsewhere"
    elsewhere.mkdir()
    with closing(opened(elsewhere / "log.db")) as other:
        append(other, decision("other's"))
    file.symlink_to(elsewhere / "log.db")


@pytest.mark.parametrize("act", [remove, remove_the_database, replace, point_elsewhere])
def test_a_database_that_is_taken_away_fails_until_it_is_back(
    store: Store, file: Path, tmp_path: Path, act: Callable[[Path, Path], None]
) -> None:
    act(file, tmp_path / "aside")
    there = sorted(path.name for path in file.parent.iterdir() if not path.name.endswith((".lock", "-wal", "-shm")))
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match=r"database file was (removed|replaced).*put that file back"):
            append(store, decision("t2", A), states={A: b"2"})
        with pytest.raises(StoreUnavailable, match="database file was"):
            store.find("t1")
    assert sorted(path.name for path in file.parent.iterdir() if not path.name.endswith(".lock")) == there
    file.unlink(missing_ok=True)
    (tmp_path / "aside" / "log.db").rename(file)
    # It was written before it was seen that the file is gone: the log may have it, but nobody was told so.
    assert ids(store)[0] == "t1"
    if "t2" not in ids(store):
        append(store, decision("t2", A), states={A: b"2"})
    append(store, decision("t3"))
    assert ids(store) == ["t1", "t2", "t3"]
    assert look(store, keys=[A]).states == {A: SavedState(2, b"2")}
    store.close()
    assert [path.name for path in file.parent.iterdir()] == ["log.db"]
    with closing(opened(file)) as again:
        assert ids(again) == ["t1", "t2", "t3"]


@pytest.mark.parametrize("gone", [["-wal"], ["-shm"], ["-wal", "-shm"]])
def test_a_write_ahead_log_that_is_removed_costs_nothing(store: Store, file: Path, gone: list[str]) -> None:
    for number in range(3):
        store.find("t1")  # a reader has a connection, too
        for end in gone:
            file.with_name(file.name + end).unlink()
        assert append(store, decision(f"u{number}"))[0].seq == 2 + number
    copy = file.parent.parent / "copy"
    shutil.copytree(file.parent, copy)  # what a power cut would leave
    with closing(opened(copy / "log.db")) as found:
        assert ids(found) == ["t1", "u0", "u1", "u2"]


def test_another_databases_log_is_neither_used_nor_removed(store: Store, file: Path) -> None:
    wal = file.with_name(file.name + "-wal")
    wal.unlink()
    wal.write_bytes(b"of another database")
    with pytest.raises(StoreUnavailable, match=r"log\.db-wal was replaced.*remove that file"):
        append(store, decision("t2"))
    with pytest.raises(StoreUnavailable, match=r"log\.db-wal was replaced"):
        append(store, decision("t2"))
    assert wal.read_bytes() == b"of another database"
    wal.unlink()
    assert ids(store) == ["t1", "t2"]  # the first try was kept, though nobody was told so
    assert append(store, decision("t3"))[0].seq == 3


def test_a_replacement_keeps_its_own_log(store: Store, file: Path, tmp_path: Path) -> None:
    """A store is replaced by another that somebody has open: closing the one takes nothing from the other."""
    remove(file, tmp_path / "aside")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("CREATE TABLE backup (x)")
        with pytest.raises(StoreUnavailable, match="replaced"):
            append(store, decision("t2"))
        store.close()
        assert file.with_name(file.name + "-wal").exists()
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_another_program_writes_is_noticed(store: Store, file: Path) -> None:
    """Its place in the log is taken: the next events get later ones, and no answer is refused for it."""
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        columns = [row[1] for row in other.execute("PRAGMA table_info(decisions)")]
        own = ", ".join(
            {"seq": "seq + 1", "transaction_id": "'foreign'", "id_digest": "x'00'"}.get(c, c) for c in columns
        )
        other.execute(f"INSERT INTO decisions SELECT {own} FROM decisions")
    assert look(store).next_seq == 3
    assert append(store, decision("t2"))[0].seq == 3
    assert ids(store) == ["t1", "foreign", "t2"]
