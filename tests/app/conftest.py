"""The service with the tiny model, and a client for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from app.example import example_transaction
from app.service import create_app
from app.settings import Settings
from models.scorer import Scorer
from tests.app.calls import Client


@pytest.fixture(scope="session")
def settings(tiny_model: Path) -> Settings:
    """Small limits, so that tests reach them."""
    return Settings(artifacts=tiny_model.parent, max_body_bytes=65_536, max_batch=50)


@pytest.fixture(scope="session")
def app(settings: Settings, tiny_scorer: Scorer) -> FastAPI:
    """The service, serving the tiny model."""
    return create_app(settings, tiny_scorer)


@pytest.fixture(scope="session")
def client(app: FastAPI) -> Client:
    """A client of the service."""
    return Client(app)


@pytest.fixture(scope="session")
def transaction(tiny_scorer: Scorer) -> dict[str, Any]:
    """A transaction that is accepted. Copy it before you change it."""
    return example_transaction(tiny_scorer.schema, tiny_scorer.vocabulary, tiny_scorer.bundle.golden)
