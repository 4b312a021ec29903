"""The service while somebody moves or restores its database: it answers nothing that is not where it will be looked
for."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.service import create_app
from app.settings import Settings
from models.scorer import Scorer
from tests import private_servers, servers
from tests.app.calls import Client, renewed


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store" / "log.db"


@pytest.fixture
def client(file: Path, tiny_model: Path, tiny_scorer: Scorer) -> Iterator[Client]:
    app = create_app(Settings(artifacts=tiny_model.parent, database_url=f"sqlite:///{file}"), tiny_scorer)
    yield Client(app)
    app.state.serving.close()


def until_ready(client: Client) -> None:
    deadline = time.monotonic() + 30
    while client.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("by", ["nothing", "a backup"])
def test_a_database_that_is_taken_away_is_a_failure_of_the_store(
    client: Client, file: Path, tmp_path: Path, transaction: dict[str, Any], by: str
) -> None:
    assert client.post("/v1/score", json=transaction).json()["logged"]
    file.rename(tmp_path / "aside.db")
    if by == "a backup":
        with closing(sqlite3.connect(file)) as other:
            other.execute("CREATE TABLE backup (x)")
    later = renewed(transaction)
    refused = client.post("/v1/score", json=later)
    assert (refused.status_code, refused.json()["type"].split(":")[-1]) == (503, "store-unavailable")
    assert client.get("/readyz").status_code == 503
    assert client.post("/v1/score", json=later).status_code == 503
    (tmp_path / "aside.db").replace(file)
    until_ready(client)
    assert client.post("/v1/score", json=later).json()["logged"]
    assert client.post("/v1/score", json=renewed(transaction)).json()["logged"]
    page = client.get("/v1/decisions").json()["decisions"]
    assert [one["transaction_id"] for one in page][1:] == [later["transaction_id"], transaction["transaction_id"]]


def test_what_another_program_writes_refuses_nothing(client: Client, file: Path, transaction: dict[str, Any]) -> None:
    """The next place in the log is taken; the service finds the one after it."""
    assert client.post("/v1/score", json=transaction).status_code == 200
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        columns = [row[1] for row in other.execute("PRAGMA table_info(decisions)")]
        new = {"seq": "seq + 1", "transaction_id": "'foreign'", "id_digest": "x'00'"}
        own = ", ".join(new.get(column, column) for column in columns)
        other.execute(f"INSERT INTO decisions SELECT {own} FROM decisions")
    for _ in range(3):
        assert client.post("/v1/score", json=renewed(transaction)).status_code == 200
        assert client.get("/readyz").status_code == 200
    assert [one["seq"] for one in client.get("/v1/decisions").json()["decisions"]] == [5, 4, 3, 2, 1]


def programs() -> Path:
    """Where PostgreSQL's are, those for backups among them."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_restore"))
    where = found[-1] if found else shutil.which("pg_restore")
    if where is None:
        private_servers.missing("pg_restore is not installed")
    return Path(where).parent


def test_a_restore_over_the_running_service_is_noticed(
    tiny_model: Path, tiny_scorer: Scorer, tmp_path: Path, transaction: dict[str, Any]
) -> None:
    """The connections live through it; what was recorded after the backup is gone all the same."""
    with servers.postgresql() as url:
        app = create_app(Settings(artifacts=tiny_model.parent, database_url=url), tiny_scorer)
        client = Client(app)

        def run(program: str, *options: str) -> None:
            subprocess.run([str(programs() / program), *options], check=True, capture_output=True)

        def restore(file: Path) -> None:
            run("pg_restore", "--clean", "--if-exists", "--no-owner", "--exit-on-error", f"--dbname={url}", str(file))

        before, after = tmp_path / "before.dump", tmp_path / "after.dump"
        try:
            assert client.post("/v1/score", json=transaction).json()["logged"]
            run("pg_dump", "--format=custom", f"--file={before}", url)
            later = renewed(transaction)
            assert client.post("/v1/score", json=later).json()["logged"]
            run("pg_dump", "--format=custom", f"--file={after}", url)
            restore(before)
            refused = client.post("/v1/score", json=renewed(transaction))
            assert (refused.status_code, refused.json()["type"].split(":")[-1]) == (503, "store-unavailable")
            assert client.get("/readyz").status_code == 503
            restore(after)
            until_ready(client)
            assert client.post("/v1/score", json=renewed(transaction)).json()["logged"]
            assert [one["seq"] for one in client.get("/v1/decisions").json()["decisions"]] == [3, 2, 1]
        finally:
            app.state.serving.close()
