"""The tiny schema as a profile, the tiny model as the active one."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.schema import TransactionSchema
from tests.command_line import Cli


@pytest.fixture(scope="session")
def profile(tiny_schema: TransactionSchema, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny schema as a profile file."""
    path = tmp_path_factory.mktemp("profile") / "tiny.toml"
    path.write_text(tiny_schema.to_toml(), encoding="utf-8")
    return path


@pytest.fixture
def model(tiny_model: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Path:
    """The tiny version, active."""
    monkeypatch.setenv("COUNTERFOIL_ARTIFACTS", str(tiny_model.parent))
    return tiny_model
