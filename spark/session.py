"""The Spark session of a command."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pyspark.sql import SparkSession

from models.errors import InvalidInput


@contextmanager
def session_for(master: str | None, settings: Sequence[str]) -> Iterator[SparkSession]:
    """A session, ended with the command. What ``spark-submit`` or ``spark-defaults.conf`` say holds where nothing is
    given here.

    Args:
        master: e.g. ``yarn`` or ``local[4]``.
        settings: Spark's own, as ``key=value``.

    Raises:
        InvalidInput: a setting is no pair.
    """
    builder = SparkSession.builder.appName("counterfoil")
    # A task is one core's work; Polars would start a thread for each core in every one of them.
    builder = builder.config("spark.executorEnv.POLARS_MAX_THREADS", "1").config(
        "spark.ui.showConsoleProgress", "false"
    )
    # Times keep their zone; what Spark writes of itself has none.
    builder = builder.config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    if master:
        builder = builder.master(master)
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise InvalidInput("--conf: expected key=value, e.g. spark.executor.memory=4g")
        builder = builder.config(name, value)
    with warnings.catch_warnings():  # of pandas, which must be there and is not used
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
        try:
            yield session
        finally:
            session.stop()
