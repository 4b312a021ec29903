"""The service with the tiny model, and a client for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from app.requests.example import example_transaction
from app.service import create_app
from app.settings import Settings
from models.registry import Registry
from models.scorer import Scorer
from tests.app.calls import Client, renewed
from tests.app.traffic import Payments, prepare, prepared, small
from tests.shared import shared
from tests.tiny import publish_without_ids


@pytest.fixture(scope="session")
def settings(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Small limits, so that tests reach them."""
    database = f"sqlite:///{tmp_path_factory.mktemp('store') / 'counterfoil.db'}"
    return Settings(artifacts=tiny_model.parent, database_url=database, max_body_bytes=65_536, max_batch=50)


@pytest.fixture(scope="session")
def app(settings: Settings, tiny_scorer: Scorer) -> Iterator[FastAPI]:
    """The service, serving the tiny model."""
    app = create_app(settings, tiny_scorer)
    yield app
    app.state.serving.close()


@pytest.fixture(scope="session")
def payments(kernel: None, tmp_path_factory: pytest.TempPathFactory) -> Payments:
    """A small model with behaviour features, and the payments of the days after its training."""
    config = small(seed=3)
    return prepared(shared(tmp_path_factory, "behaving", lambda folder: prepare(folder, config, 8)), config, 8)


@pytest.fixture(scope="session")
def nameless(tiny_model: Path, rival_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Two versions of a model whose transactions have no id; the first is active."""

    def make(folder: Path) -> None:
        registry = Registry(folder / "artifacts")
        for version in (tiny_model, rival_model):
            publish_without_ids(version, registry)
        registry.activate(registry.versions()[0])

    return Registry(shared(tmp_path_factory, "nameless", make) / "artifacts")


@pytest.fixture
def own_store(tmp_path: Path) -> str:
    """URL of a store that no other application uses."""
    return f"sqlite:///{tmp_path / 'own.db'}"


@pytest.fixture(scope="session")
def client(app: FastAPI) -> Client:
    """A client of the service."""
    return Client(app)


@pytest.fixture
def transaction(tiny_scorer: Scorer) -> dict[str, Any]:
    """A transaction that is accepted, under an id of its own. To change it: :func:`tests.app.calls.renewed`."""
    return renewed(example_transaction(tiny_scorer.schema, tiny_scorer.vocabulary, tiny_scorer.bundle.golden))
