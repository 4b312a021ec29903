"""Two processes train one model: the weights are those of one process, but for rounding and the loss's bound."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from models.errors import InvalidInput
from models.registry import Registry
from models.schema import TransactionSchema
from models.scorer import Scorer
from tests.tiny import TINY_POLICY, no_report
from tests.waiting import FAR
from training.fit import FitOptions
from training.ranks import ALONE, started_by_torchrun
from training.read import read_history
from training.train import TrainingJob, train

ROOT = Path(__file__).parents[2]


@pytest.mark.early
def test_two_processes_publish_one_version_that_errs_like_that_of_one(
    tiny_csv: Path, tiny_schema: TransactionSchema, tmp_path: Path
) -> None:
    profile, history = tmp_path / "tiny.toml", read_history(tiny_schema, [tiny_csv])
    profile.write_text(tiny_schema.to_toml(), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         str(ROOT / "counterfoil.py"), "train", str(tiny_csv), "--profile", str(profile), "--members=1", "--hidden=8",
         "--force", "--out", str(tmp_path / "together")],
        capture_output=True, text=True, check=False, timeout=FAR, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Model version") == 1
    together = Registry(tmp_path / "together")
    assert together.versions() == [together.active()]
    options = FitOptions(members=1, hidden=(8,))
    job = TrainingJob(tiny_schema, options, TINY_POLICY)
    _, alone = train(job, history, Registry(tmp_path / "alone"), report=no_report)
    errors = []
    for version in (together.resolve(None), alone):
        scorer = Scorer.load(version)
        errors.append(np.log(scorer.score(history.batch(scorer.vocabulary)).error))
    assert np.median(np.abs(errors[0] - errors[1])) < 0.1
    assert abs(np.mean(errors[0]) - np.mean(errors[1])) < 0.05


def test_who_is_started_alone_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # said by some other launcher, for its own purpose
    with started_by_torchrun("cpu") as ranks:
        assert ranks is ALONE


def test_a_gpu_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with ExitStack() as stack, pytest.raises(InvalidInput, match="on the CPU"):
        stack.enter_context(started_by_torchrun("cuda"))
