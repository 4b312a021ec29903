"""``counterfoil threshold`` where only the serving packages are installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models.registry import Registry
from models.scorer import Scorer

ROOT = Path(__file__).parents[2]
#: What [training] adds, as pyproject.toml has it; the test is nothing without their names.
TRAINING = ("torch", "sklearn", "scipy", "matplotlib", "jinja2", "training")


def test_serving_packages_are_enough(tiny_model: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "artifacts")
    shutil.copytree(tiny_model, registry.root / tiny_model.name)
    code = f"import sys\nsys.modules |= dict.fromkeys({TRAINING!r})\n"  # each import of them fails
    code += "import counterfoil\nsys.argv = ['counterfoil', 'threshold', *sys.argv[1:]]\ncounterfoil.main()"
    command = [sys.executable, "-c", code, "--alerts-per-day", "5", "--artifacts", str(registry.root)]
    command += ["--model", tiny_model.name]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"(alerts-per-day 5)" in done.stdout and b"This version is now active." in done.stdout
    found = Scorer.load(registry.resolve(None)).manifest
    assert found.policy_inputs.per_day is not None
    rate = 5 / found.policy_inputs.per_day
    assert found.threshold.alert_rate == pytest.approx(rate)
    assert found.threshold.alert_rate_low < rate < found.threshold.alert_rate_high
