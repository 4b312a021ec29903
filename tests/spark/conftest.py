"""A real cluster on this machine: two executors of one core and 1 GiB each, in processes of their own."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.app.traffic import Payments, prepare, prepared, small
from tests.private_servers import missing
from tests.shared import shared

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Batches are small, so that entities reach over several; all traffic stays on this machine.
SETTINGS = {
    "spark.sql.execution.arrow.maxRecordsPerBatch": "500",
    "spark.sql.shuffle.partitions": "4",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
}


@pytest.fixture(scope="session")
def payments(kernel: None, tmp_path_factory: pytest.TempPathFactory) -> Payments:
    """A small model with behaviour features, and the payments of the days after its training."""
    config = small(seed=3)
    return prepared(shared(tmp_path_factory, "behaving", lambda folder: prepare(folder, config, 8)), config, 8)


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """One for all tests of a process: a cluster takes seconds to start."""
    pytest.importorskip("pyspark", reason="Spark's packages are not installed: make spark")
    if shutil.which("java") is None:
        missing("Java is not installed")
    from spark.session import session_for

    patch = pytest.MonkeyPatch()
    for name in ("SPARK_LOCAL_IP", "SPARK_LOCAL_HOSTNAME"):
        patch.setenv(name, "127.0.0.1")
    patch.setenv("PYSPARK_PYTHON", sys.executable)
    patch.setenv("SPARK_WORKER_DIR", str(tmp_path_factory.mktemp("spark")))
    patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]))
    with warnings.catch_warnings():  # of pandas, which it does not use here, and of its own sockets
        warnings.simplefilter("ignore")
        with session_for("local-cluster[2,1,1024]", [f"{name}={value}" for name, value in SETTINGS.items()]) as spark:
            yield spark
    patch.undo()
