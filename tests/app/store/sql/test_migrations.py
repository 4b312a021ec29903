"""The tables of a database: made, left alone, refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text

from app.store.packing import id_digest
from app.store.sql import migrations
from app.store.sql.tables import metadata
from models.errors import InvalidInput
from tests.app.store.conftest import Backend
from tests.app.store.events import append, decision
from tests.app.store.processes import ROOT


@pytest.fixture
def engine(sql_backend: Backend) -> Iterator[Engine]:
    """To look at the database with."""
    found = create_engine(sql_backend.url.replace("postgresql:", "postgresql+psycopg:"))
    yield found
    found.dispose()


def test_the_newest_revision_makes_the_tables(sql_backend: Backend, engine: Engine) -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_heads() == [migrations.HEAD]
    sql_backend.open().close()
    with engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert migrations.revision_of(connection) == migrations.HEAD


def test_opening_again_changes_nothing(sql_backend: Backend) -> None:
    for expected in (1, 2, 3):
        store = sql_backend.open()
        assert append(store, decision(None))[0].seq == expected
        store.close()


def test_a_database_of_a_later_version_is_refused(sql_backend: Backend, engine: Engine) -> None:
    sql_backend.open().close()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InvalidInput, match=r"revision 9999.*does not know.*upgrade Counterfoil"):
        sql_backend.open()
    with pytest.raises(InvalidInput, match=rf"revision 9999.*reads {migrations.HEAD}"):
        sql_backend.open(read_only=True)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{migrations.HEAD}'"))
    sql_backend.open().close()  # the claim was given back


def test_a_log_of_the_first_version_goes_on(sql_backend: Backend, engine: Engine) -> None:
    row = (
        "INSERT INTO decisions (seq, transaction_id, digest, time, arrived_at, body, features, score, error, "
        "threshold, decision, model_version, reply, latency_us, packed_keys, id_digest) "
        "VALUES (1, 't1', :bytes, 1, 2, '{}', :bytes, 0.5, 1.5, 0.9, 'approve', 'v', :bytes, 7, :none, :digest)"
    )
    with engine.begin() as connection:
        migrations.upgrade(connection, "log", to="0001")
        connection.execute(text(row), {"bytes": b"x", "none": b"", "digest": id_digest("t1")})
    store = sql_backend.open()
    found = store.find("t1")
    assert found is not None and (found.seq, found.idempotency_digest) == (1, None)
    assert append(store, decision("t2", idempotency_digest=b"k" * 16))[0].seq == 2
    store.close()


def test_reading_makes_no_tables(sql_backend: Backend, engine: Engine) -> None:
    with engine.connect():  # the file of SQLite
        pass
    with pytest.raises(InvalidInput, match="revision none"):
        sql_backend.open(read_only=True)
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == []


def test_tables_half_made_are_not_there(sql_backend: Backend, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE meta (colour INTEGER)"))
    for _ in range(2):
        with pytest.raises(Exception, match=r"log.db|PostgreSQL"):
            sql_backend.open()
    with engine.begin() as connection:
        assert inspect(connection).get_table_names() == ["meta"]
        connection.execute(text("DROP TABLE meta"))
    sql_backend.open().close()


def test_a_restart_does_not_wait_for_alembic(sqlite_backend: Backend) -> None:
    sqlite_backend.open().close()
    code = "import sys; from app.store.open import open_store; open_store(sys.argv[1]).close(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, sqlite_backend.url], cwd=ROOT, capture_output=True, check=True)
    loaded = done.stdout.decode().split()
    assert "sqlalchemy" in loaded
    assert not {"alembic", "psycopg", "redis"} & set(loaded)
