"""A rival of the tiny version: trained on the same rows with another seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.registry import Registry
from models.schema import TransactionSchema
from models.scorer import Scorer
from tests.shared import shared
from tests.tiny import TINY_FIT, TINY_POLICY
from training.read import History
from training.train import TrainingJob, train


@pytest.fixture(scope="session")
def rival(tiny_history: History, tiny_schema: TransactionSchema, tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """The other version."""

    def make(folder: Path) -> None:
        train(TrainingJob(tiny_schema, TINY_FIT, TINY_POLICY, seed=7), tiny_history, Registry(folder / "artifacts"))

    registry = Registry(shared(tmp_path_factory, "rival", make) / "artifacts")
    return Scorer.load(registry.folder(registry.versions()[0]))
