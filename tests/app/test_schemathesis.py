"""Schemathesis reads the served OpenAPI document and calls every operation with all its checks, in all its phases.

python -m pytest tests/app/test_schemathesis.py                            # 8 examples an operation, with a key
python -m pytest -p tests.long --long -s tests/app/test_schemathesis.py    # 300, with and without
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.access.key_changes import create_key
from app.requests.example import example_transaction
from tests.app.test_server import ROOT, running
from tests.app.traffic import Payments
from tests.schemathesis_hooks import EXAMPLE
from tests.waiting import FAR

#: A JSON Schema cannot say that a tensor is as long as its shape, or that columns are those of a transaction.
CONFIG = """
[[operations]]
include-path-regex = "/infer$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429", "5xx"]
"""


@pytest.mark.early
@pytest.mark.parametrize("keyed", [pytest.param(False, marks=pytest.mark.long), True])
def test_no_finding(payments: Payments, tmp_path: Path, request: pytest.FixtureRequest, keyed: bool) -> None:
    long = bool(request.config.getoption("--long", default=False))
    settings = {"COUNTERFOIL_KEYS_FILE": str(tmp_path / "keys.json")}
    headers = []
    if keyed:
        _, key = create_key(tmp_path / "keys.json", "schemathesis", ["admin"])
        headers = ["--header", f"Authorization: Bearer {key}"]
    scorer = payments.scorer
    example = example_transaction(scorer.schema, scorer.vocabulary, scorer.bundle.golden)
    artifacts = shutil.copytree(payments.artifacts, tmp_path / "artifacts")  # it activates and rolls back, too
    with running(artifacts, COUNTERFOIL_LOG_LEVEL="error", **settings) as (process, port, _):
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{port}/openapi.json", *headers]
        command += ["--phases", "examples,coverage,fuzzing,stateful", "--checks", "all", "--continue-on-failure"]
        (tmp_path / "schemathesis.toml").write_text(CONFIG)
        if not long:  # answered by the same functions
            command += ["--exclude-path-regex", "^/v2/models/.*/versions/"]
        command += ["--max-examples", "300" if long else "8", "--generation-deterministic", "--no-color"]
        hooks = {
            "SCHEMATHESIS_HOOKS": "tests.schemathesis_hooks",
            "PYTHONPATH": str(ROOT),
            EXAMPLE: json.dumps(example),
        }
        done = subprocess.run(  # noqa: PLW1510 - its report says more than its status
            command, cwd=tmp_path, env={**os.environ, **hooks}, capture_output=True, text=True, timeout=1_800
        )
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=FAR)
    if long:
        print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in errors
