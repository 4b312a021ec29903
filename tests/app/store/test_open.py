"""Which store a URL means, and what is said of one that means none."""

from __future__ import annotations

import sys

import pytest

from app.store.errors import StoreUnavailable
from app.store.open import open_store
from models.errors import InvalidInput
from tests.app.store.conftest import Backend


@pytest.mark.parametrize(
    "url",
    [
        "",
        "log.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:log.db",
        "mysql://user:secret@host/db",
        "postgresql+asyncpg://user:secret@host/db",
        "postgresql://user:secret@host:port/db",
        "postgresql:secret",
        "redis://:secret@host:port",
        "redis://:secret@[host/0",
    ],
)
def test_urls_that_mean_no_store(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"store URL: expected .*sqlite:///FILE") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "package", "extra"),
    [("postgresql://h/d", "psycopg", "counterfoil[postgresql]"), ("redis://h", "redis", "counterfoil[redis]")],
)
def test_a_driver_that_is_not_installed(url: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("app.store.redis.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidInput) as caught:
        open_store(url)
    assert f"pip install '{extra}'" in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "redis", "rediss"])
def test_a_server_that_is_not_there(scheme: str) -> None:
    with pytest.raises(StoreUnavailable, match=r"127.0.0.1") as caught:
        open_store(f"{scheme}://user:secret@127.0.0.1:1/0")
    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_password_that_is_wrong(postgresql_backend: Backend) -> None:
    from sqlalchemy import make_url

    url = make_url(postgresql_backend.url).set(username="nobody", password="secret")
    with pytest.raises(StoreUnavailable, match="PostgreSQL database") as caught:
        open_store(url.render_as_string(hide_password=False))
    assert "secret" not in str(caught.value)


def test_each_kind_says_whether_it_is_shared(backend: Backend) -> None:
    store = backend.open()
    assert store.shared == (backend.kind in ("redis", "shared_postgresql"))
    store.close()
