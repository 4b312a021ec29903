"""A service with alerts in its queue, and people who look at it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.console.door import COOKIE, new_session
from app.console.roles import Person
from app.console.users import Role, User, UsersFile, read_users
from app.private_file import write_private
from app.service import create_app
from app.settings import Settings
from app.store.contract import Desk
from app.store.desk import Case, Place, Wanted
from app.store.sql import cases, sessions
from tests.app.calls import Client
from tests.app.traffic import Payments, bodies
from tests.shared import shared

#: Payments recorded; about one in eight alerts.
ROWS = 240
HERE = {"Host": "127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}


def opened(payments: Payments, folder: Path, **settings: Any) -> FastAPI:
    """The service over a folder's store, with models of its own: the console changes the active one."""
    artifacts = folder / "artifacts"
    if not artifacts.exists():
        shutil.copytree(payments.artifacts, artifacts)
    found = Settings(
        artifacts=artifacts,
        database_url=f"sqlite:///{folder / 'log.db'}",
        users_file=folder / "users.json",
        keys_file=folder / "keys.json",
        **settings,
    )
    return create_app(found, payments.scorer)


@pytest.fixture(scope="session")
def recorded(payments: Payments, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with payments, to be copied."""

    def make(folder: Path) -> None:
        app = opened(payments, folder)
        sent = [json.loads(body) for body in bodies(payments.frame.head(ROWS), payments.schema)]
        reply = Client(app).post("/v1/score/batch", json={"transactions": sent})
        assert reply.status_code == 200
        app.state.serving.close()

    return shared(tmp_path_factory, "alerts", make)


@dataclass
class Desktop:
    """A browser without scripts: it keeps cookies and follows to where it is sent.

    Attributes:
        client: of the service; ``name``: whose it is.
    """

    client: Client
    headers: dict[str, str] = field(default_factory=lambda: dict(HERE))
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> httpx.Response:
        """A page."""
        return self._kept(self.client.get(f"/console{path}", headers=self.sent()))

    def post(self, path: str, **form: Any) -> httpx.Response:
        """A form sent; the page that it leads to."""
        answer = self.send(path, **form)
        if answer.status_code == 303:
            return self.get(answer.headers["location"].removeprefix("/console"))
        return answer

    def send(self, path: str, **form: Any) -> httpx.Response:
        """A form sent, without following."""
        return self._kept(self.client.post(f"/console{path}", data=form, headers=self.sent()))

    def sent(self) -> dict[str, str]:
        """The headers of each request."""
        return {**self.headers, "Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}

    def _kept(self, answer: httpx.Response) -> httpx.Response:
        self.cookies.update(answer.cookies)
        return answer


@dataclass
class Office:
    """The service with its queue.

    Attributes:
        folder: of store and users.
    """

    app: FastAPI
    folder: Path

    @property
    def client(self) -> Client:
        """Without a session."""
        return Client(self.app)

    @property
    def desk(self) -> Desk:
        """The store's part of the console."""
        found = self.app.state.serving.ledger.recorder.store.desk()
        assert found is not None
        return found  # type: ignore[no-any-return]

    def local(self) -> Desktop:
        """The local user."""
        return Desktop(self.client)

    def user(self, name: str, role: Role = "analyst") -> Desktop:
        """Somebody who is signed in; without a password, for hashing one takes long."""
        path, now = self.folder / "users.json", datetime.now(UTC).replace(microsecond=0)
        users = [*(read_users(path) or ()), User(name=name, role=role, password="", created_at=now, changed_at=now)]
        write_private(path, UsersFile(format=1, users=tuple(users)).model_dump_json().encode())
        signed, begun, end = new_session(Person(name, role))
        self.desk.write(lambda connection: sessions.begin(connection, signed.person.session, name, begun, end))
        return Desktop(self.client, cookies={COOKIE: signed.token})

    def case(self, case_id: int) -> Case:
        """As it is now."""
        found = self.desk.read(lambda connection: cases.find(connection, case_id))
        assert found is not None
        return found

    def queue(self) -> list[Case]:
        """The open cases in order."""
        return self.desk.read(lambda connection: cases.page(connection, Wanted(), Place(), 1_000))


@pytest.fixture
def offices(payments: Payments, recorded: Path, tmp_path: Path) -> Iterator[Callable[..., Office]]:
    """Makes one, over a copy of the recorded store, with settings."""
    made: list[FastAPI] = []

    def make(**settings: Any) -> Office:
        shutil.copy(recorded / "log.db", tmp_path / "log.db")
        made.append(opened(payments, tmp_path, **settings))
        return Office(made[-1], tmp_path)

    yield make
    for app in made:
        app.state.serving.close()


@pytest.fixture
def office(offices: Callable[..., Office]) -> Office:
    """One of usual settings."""
    return offices()
