"""A rival of the tiny version: trained on the same rows with another seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.scorer import Scorer


@pytest.fixture(scope="session")
def rival(rival_model: Path) -> Scorer:
    """The other version, loaded."""
    return Scorer.load(rival_model)
