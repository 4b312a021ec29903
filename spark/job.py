"""A whole job: rows read and checked, what is made of them written, with rejects and states beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.utils import AnalysisException

from models.errors import InvalidInput
from spark.columns import OWN, ROW, plain
from spark.features import states_after, with_features
from spark.rows import Parsing, earliest_after, place_of, read
from spark.states import newest

_SHOWN_ERRORS = 5


@dataclass(frozen=True)
class Job:
    """Where rows come from and go to.

    Attributes:
        sources: Parquet files, folders or globs, as Spark finds them.
        output: a folder that does not exist yet; results are in it once it holds ``_SUCCESS``.
        on_error: ``stop`` raises at bad rows before anything is written; ``reject`` writes them to
            ``<output>.rejects``: file, row from 1, column and cause.
        begins: states to go on from; None: every entity is new.
        states: a folder for the states afterwards; None: they are not wanted.
        share: of the rows that is written, drawn at random; all count in the features of those.
    """

    sources: Sequence[str]
    output: str
    on_error: Literal["stop", "reject"] = "stop"
    begins: DataFrame | None = None
    states: str | None = None
    share: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """What became of a job's rows.

    Attributes:
        rows: written.
        alerts: of these, at or above the threshold; 0 where nothing was scored.
        rejected: left out.
        rejects: where they are listed; None without any.
    """

    rows: int
    alerts: int
    rejected: int
    rejects: str | None


def run(session: SparkSession, job: Job, parsing: Parsing, result: Callable[[DataFrame], DataFrame]) -> Outcome:
    """Read, check, compute, write.

    Args:
        parsing: what rows must be.
        result: makes what is written, of rows with their behaviour features.

    Raises:
        InvalidInput: no such files, rows that cannot be used, or an output that is there already.
    """
    table, files = read(session, job.sources)
    schema = parsing.schema
    if job.begins is not None:
        parsing = replace(parsing, earliest=earliest_after(newest(job.begins)))
    rejected = _rejects(session, job, parsing.rejects(table), files)
    events = parsing.events(table)
    wanted = events
    if job.share < 1:  # the others are only what came before: nothing but their events travels
        own = [F.when(_chosen(job.share), F.col(f"`{name}`")).alias(name) for name in plain(events.columns)]
        wanted = events.select(*own, *(name for name in events.columns if name.startswith(OWN)))
    wanted = with_features(wanted, schema, job.begins)
    _write(result(wanted.filter(_chosen(job.share)) if job.share < 1 else wanted), job.output)
    if job.states is not None:
        _write(states_after(events, schema, job.begins), job.states)
    written = session.read.parquet(job.output)
    alerts = written.filter("is_anomaly").count() if "is_anomaly" in written.columns else 0
    return Outcome(written.count(), alerts, rejected, f"{job.output}.rejects" if rejected else None)


def _chosen(share: float) -> Column:
    """Whether a row is in the sample: each as likely as any other, and the same ones however often it is asked."""
    return F.pmod(F.xxhash64(F.col(ROW)), F.lit(1 << 32)) < F.lit(round(share * (1 << 32)))


def _rejects(session: SparkSession, job: Job, rejects: DataFrame, files: list[str]) -> int:
    """How many rows cannot be used; listed, or told as an error."""
    if job.on_error == "stop":
        found = rejects.orderBy("row").limit(_SHOWN_ERRORS).collect()
        if found:
            places = [(*place_of(one["row"], files), one) for one in found]
            listed = "\n".join(
                f"  {file}: row {row}: {one['column'] + ': ' if one['column'] else ''}{one['cause']}"
                for file, row, one in places
            )
            raise InvalidInput(f"rows that cannot be used; correct them, or --on-error reject:\n{listed}")
        return 0
    first = session.createDataFrame([(i, file) for i, file in enumerate(files)], "_place long, file string")
    told = rejects.select(
        F.shiftright("row", 40).alias("_place"),
        (F.col("row").bitwiseAND((1 << 40) - 1) + 1).alias("row"),
        "column",
        "cause",
    ).join(F.broadcast(first), "_place")
    path = f"{job.output}.rejects"
    told.select("file", "row", "column", "cause").write.mode("overwrite").parquet(path)
    rows: int = session.read.parquet(path).count()
    return rows


def _write(table: DataFrame, path: str) -> None:
    try:
        table.write.parquet(path)
    except AnalysisException as error:
        if "PATH_ALREADY_EXISTS" not in str(error):
            raise
        raise InvalidInput(f"{path}: exists already; name another folder") from None
