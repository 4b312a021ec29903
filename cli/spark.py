"""Scores, features and training rows on Spark: ``counterfoil spark score``, ``features``, ``train-set``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import EXIT_REJECTED, err, out
from cli.opening import keyed, open_scorer
from cli.options import ArtifactsOption, ModelOption, OnError
from models.errors import InvalidInput

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from models.schema import TransactionSchema
    from spark.job import Outcome

cli = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The same on Apache Spark, for histories that no longer fit one machine: Parquet in, Parquet out.",
    rich_markup_mode="rich",
)

SourcesArgument = Annotated[
    list[str], typer.Argument(help="Parquet files, folders or globs, as Spark finds them.", show_default=False)
]
OutOption = Annotated[str, typer.Option("--out", help="A folder that does not exist yet.", show_default=False)]
ProfileOption = Annotated[
    str, typer.Option("--profile", help="A shipped profile, or a file of your own.", show_default=False)
]
OnErrorOption = Annotated[
    OnError,
    typer.Option(help="At bad rows: [bold]stop[/] and write nothing, or [bold]reject[/] them into OUT.rejects."),
]
StatesOption = Annotated[
    str | None, typer.Option("--states", help="Go on from these: an earlier job's --states-out, or [bold]empty[/].")
]
StatesOutOption = Annotated[
    str | None, typer.Option("--states-out", help="Write the states after these rows here, for [bold]warm --states[/].")
]
MasterOption = Annotated[
    str | None,
    typer.Option("--master", help="Of the cluster. [dim]\\[default: as spark-submit or Spark's files say][/]"),
]
ConfOption = Annotated[
    list[str] | None, typer.Option("--conf", help="A setting of Spark, key=value. More than once.", show_default=False)
]
_EMPTY = "empty"


@cli.command("score")
def score(
    data: SourcesArgument,
    output: OutOption,
    model: ModelOption = None,
    reasons: Annotated[int, typer.Option(help="Reasons per row, each in a column.", min=0, max=20)] = 0,
    on_error: OnErrorOption = OnError.stop,
    states: StatesOption = None,
    states_out: StatesOutOption = None,
    master: MasterOption = None,
    conf: ConfOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Score a table: its columns with score, reconstruction_error, is_anomaly, decision; the scores of one machine.

    Behaviour features go on from the states beside the model, if nothing else is said. Exit code 1 if rows were
    rejected.

    Example: counterfoil spark score hdfs:///payments/2026-03 --out hdfs:///scored/2026-03 --master yarn
    """
    with _spark(master, conf) as session:
        from spark.job import Job, run
        from spark.rows import Parsing
        from spark.scoring import scored, sent
        from spark.states import of_model

        scorer = open_scorer(model, artifacts)
        schema = scorer.schema
        begins = _begins(session, states, schema) if states else of_model(session, scorer.bundle.path, schema)
        job = Job(data, output, on_error.value, begins, _states_out(states_out, schema))
        parsing = Parsing(schema, latest=_latest(schema) if states_out else None, vocabulary=scorer.vocabulary)
        with sent(session, scorer.bundle.path) as archive:
            outcome = run(session, job, parsing, lambda events: scored(events, scorer, archive, reasons))
    share = f" ({outcome.alerts / outcome.rows:.2%})" if outcome.rows else ""
    out.print(f"{output}: {outcome.rows:,} rows scored, {outcome.alerts:,} alerts{share}")
    _say_rejected(outcome)


@cli.command("features")
def features(
    data: SourcesArgument,
    output: OutOption,
    profile: ProfileOption,
    on_error: OnErrorOption = OnError.stop,
    states: StatesOption = None,
    states_out: StatesOutOption = None,
    master: MasterOption = None,
    conf: ConfOption = None,
) -> None:
    """Write the behaviour features of every row beside its columns: to the bit those of training and of the service.

    Rows later than this machine's clock are rejected. Every card is new at the first row, if no states are named.

    Example: counterfoil spark features 'payments/*.parquet' --profile payments --out features --states-out states
    """
    outcome = _features(data, output, profile, on_error, states, states_out, master, conf, 1.0)
    out.print(f"{output}: {outcome.rows:,} rows with behaviour features")
    _say_rejected(outcome)


@cli.command("train-set")
def train_set(
    data: SourcesArgument,
    output: OutOption,
    profile: ProfileOption,
    share: Annotated[float, typer.Option(help="Of the rows, drawn at random; all of them count in the features.")],
    on_error: OnErrorOption = OnError.stop,
    states: StatesOption = None,
    states_out: StatesOutOption = None,
    master: MasterOption = None,
    conf: ConfOption = None,
) -> None:
    """Write a random share of the rows with their behaviour features: what [bold]counterfoil train[/] learns from.

    Example: counterfoil spark train-set 'history/*.parquet' --profile payments --share 0.01 --out sample --states-out
    states, then counterfoil train sample --profile payments, and counterfoil warm --states states
    """
    if not 0 < share <= 1:
        raise InvalidInput("--share: expected a number above 0, at most 1")
    outcome = _features(data, output, profile, on_error, states, states_out, master, conf, share)
    out.print(f"{output}: {outcome.rows:,} rows to train on, with behaviour features")
    _say_rejected(outcome)


def _features(
    data: list[str],
    output: str,
    profile: str,
    on_error: OnError,
    states: str | None,
    states_out: str | None,
    master: str | None,
    conf: list[str] | None,
    share: float,
) -> Outcome:
    from models.schema import load_schema

    schema = keyed(load_schema(profile))
    if not schema.entity:
        raise InvalidInput(f"profile '{schema.name}' has no [entity] section, so there are no behaviour features")
    with _spark(master, conf) as session:
        from spark.features import told_apart
        from spark.job import Job, run
        from spark.rows import Parsing

        begins = _begins(session, states, schema) if states else None
        job = Job(data, output, on_error.value, begins, states_out, share)
        return run(session, job, Parsing(schema, latest=_latest(schema)), lambda events: told_apart(events, schema))


@contextmanager
def _spark(master: str | None, conf: list[str] | None) -> Iterator[SparkSession]:
    try:
        from spark.session import session_for
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("pyspark", "pyarrow", "spark"):
            raise
        raise InvalidInput("Spark's packages are not installed: pip install 'counterfoil[spark]'") from None
    with session_for(master, conf or []) as session:
        yield session


def _begins(session: SparkSession, states: str, schema: TransactionSchema) -> DataFrame | None:
    from spark.states import read_earlier

    return None if states == _EMPTY else read_earlier(session, states, schema)


def _states_out(folder: str | None, schema: TransactionSchema) -> str | None:
    if folder is not None and not schema.entity:
        raise InvalidInput("--states-out: the model has no behaviour features, so there are no states")
    return folder


def _latest(schema: TransactionSchema) -> int | None:
    """The time up to which rows count, so that none of a wrong year is anybody's newest."""
    from models.clock import TOLERANCE

    calendar = schema.timestamp is not None and not schema.elapsed
    return int((time.time() + TOLERANCE) * 1e6) if calendar else None


def _say_rejected(outcome: Outcome) -> None:
    if outcome.rejected:
        err.print(f"{outcome.rejected:,} rows rejected: see {outcome.rejects}", markup=False)
        raise typer.Exit(EXIT_REJECTED)
