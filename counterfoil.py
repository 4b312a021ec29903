"""The command line: ``counterfoil --help``. The only module that knows both sides; imports each when needed.

counterfoil simulate --out payments.csv && counterfoil train payments.csv --profile payments && counterfoil serve
"""

from __future__ import annotations

import enum
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from app.settings import OnStoreFailure, load_settings
from app.store.contract import Durability
from models.errors import CounterfoilError, InvalidBundle, InvalidInput
from models.registry import Registry
from models.scorer import Scorer

if TYPE_CHECKING:
    from app.settings import Settings
    from models.behaviour.continuation import Continuation
    from models.manifest import Manifest, Metrics
    from models.schema import TransactionSchema
    from models.thresholds import Policy
    from training.optimise import FitProgress

out = Console(highlight=False, soft_wrap=True, markup=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)
tables = Console(highlight=False, width=1_000)  # a version or an id is worth nothing when its end is missing
cli = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Score card transactions by how unlike legitimate ones they are.\n\n"
    "First steps: [bold]counterfoil simulate[/] makes data, [bold]train[/] learns from it, [bold]score[/] marks a "
    "file, [bold]serve[/] answers over HTTP. Every command has --help with an example.",
)

keys_cli = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="API keys of the service: who may score, read, give feedback. Kept in $COUNTERFOIL_KEYS_FILE, by default "
    "keys.json; a running service takes over a change within a second.",
)
cli.add_typer(keys_cli, name="keys")

DEFAULT_ALERT_RATE = 0.005
MOST_MONEY = 1e12  # of a cost or a count in a policy
MOST_LIFETIME_SECONDS = 36_500 * 86_400  # of an API key
_TRAINING_PACKAGES = {"torch", "sklearn", "scipy", "matplotlib", "jinja2", "onnxscript"}
_FAR_OFF = 2  # times outside the promised interval before training warns
EXIT_REJECTED, EXIT_ERROR, EXIT_INTERRUPTED = 1, 2, 130


class Architecture(enum.StrEnum):
    undercomplete = "undercomplete"
    overcomplete = "overcomplete"


class ErrorKind(enum.StrEnum):
    whitened = "whitened"
    euclidean = "euclidean"


class OnError(enum.StrEnum):
    stop = "stop"
    reject = "reject"


class KeyScope(enum.StrEnum):
    """:data:`app.access.keys.Scope`: Typer takes no list of a Literal."""

    score = "score"
    read = "read"
    feedback = "feedback"
    admin = "admin"


class State(enum.StrEnum):
    live = "live"
    snapshot = "snapshot"
    empty = "empty"


ArtifactsOption = Annotated[
    Path | None,
    typer.Option(
        "--artifacts",
        help="Folder of the model versions. [dim]\\[default: $COUNTERFOIL_ARTIFACTS or artifacts][/]",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="A version's name or folder. [dim]\\[default: the active version][/]"),
]
InputArgument = Annotated[Path, typer.Argument(help="CSV (also .gz, .zst) or Parquet.", show_default=False)]
AlertRateOption = Annotated[
    float | None,
    typer.Option(help="Policy: share of legitimate transactions that may alert. [dim]\\[default policy: 0.005][/]"),
]
AlertsPerDayOption = Annotated[
    float | None, typer.Option(help="Policy: alerts a day at the training period's volume of legitimate payments.")
]
MinPrecisionOption = Annotated[
    float | None, typer.Option(help="Policy: at least this share of alerts is fraud. Needs labels.")
]
MinRecallOption = Annotated[
    float | None, typer.Option(help="Policy: at least this share of fraud is alerted. Needs labels.")
]
MaxCostOption = Annotated[
    float | None,
    typer.Option(help="Policy: the cheapest threshold, where reviewing an alert costs this much. Needs labels."),
]
MissedFraudOption = Annotated[
    float | None, typer.Option(help="With --max-cost: cost of a missed fraud. [dim]\\[default: its amount][/]")
]
DeclineAlertRateOption = Annotated[
    float | None, typer.Option(help="Second threshold, from where on to decline: share of legitimate payments.")
]
DeclineMinPrecisionOption = Annotated[
    float | None, typer.Option(help="Second threshold: decline where at least this share is fraud. Needs labels.")
]
StateOption = Annotated[
    State,
    typer.Option(
        help="What behaviour features go on from: the model's [bold]snapshot[/] after its last training row, the "
        "[bold]live[/] states of the service, or [bold]empty[/], no history. None of them is changed."
    ),
]
DatabaseOption = Annotated[
    str | None,
    typer.Option("--database", help="URL of the store. [dim]\\[default: $COUNTERFOIL_DATABASE_URL][/]"),
]
OnErrorOption = Annotated[
    OnError,
    typer.Option(help="At a bad row: [bold]stop[/] and write nothing, or [bold]reject[/] it into OUTPUT.rejects.csv."),
]


@cli.command()
def simulate(
    output: Annotated[Path, typer.Option("--out", help="Where to: .csv or .parquet.", show_default=False)],
    days: Annotated[int, typer.Option(help="Days of traffic.")] = 90,
    cards: Annotated[int, typer.Option(help="Cards, about one payment a day each.")] = 5_000,
    merchants: Annotated[int, typer.Option(help="Merchants.")] = 2_000,
    fraud_rate: Annotated[float, typer.Option(help="Share of the rows that are fraud, about.")] = 0.003,
    seed: Annotated[int, typer.Option(help="Same seed and options, same bytes.")] = 0,
    hold_out: Annotated[
        Path | None, typer.Option(help="Write the last days here instead: later payments of the same cards.")
    ] = None,
    hold_out_days: Annotated[int, typer.Option(help="How many days those are.", min=1)] = 2,
) -> None:
    """Make realistic card transactions with labelled fraud.

    Example: counterfoil simulate --out payments.csv --days 14
    """
    from training.simulate import SimulationConfig, last_days, write
    from training.simulate import simulate as simulate_frame

    config = SimulationConfig(days=days, cards=cards, merchants=merchants, fraud_rate=fraud_rate, seed=seed)
    frame = simulate_frame(config)
    parts = [(frame, output, days)]
    if hold_out is not None:
        if hold_out_days >= days:
            raise InvalidInput(f"--hold-out-days: expected fewer than the {days} days of --days")
        held = last_days(frame, config, hold_out_days)
        parts = [(frame[: frame.height - held.height], output, days - hold_out_days), (held, hold_out, hold_out_days)]
    for part, path, length in parts:
        write(part, path)
        fraud = int(part["is_fraud"].sum())
        share = f" ({fraud / part.height:.2%})" if part.height else ""
        out.print(f"{path}: {part.height:,} transactions of {cards:,} cards over {length} days, {fraud:,} fraud{share}")


@cli.command()
def profile(
    data: InputArgument,
    output: Annotated[
        Path | None, typer.Option("--out", help="Where to. [dim]\\[default: DATA's name with .toml, here][/]")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The label column, if its name does not say so.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing profile.")] = False,
) -> None:
    """Guess what a table's columns mean and write a schema profile (TOML) to edit.

    Example: counterfoil profile payments.csv --out bank.toml
    """
    from models.tables import written_aside
    from training.profile import guess_profile

    guess = guess_profile(data, label=label)
    target = output or Path(data.name.split(".")[0] + ".toml")
    if target.exists() and not force:
        raise InvalidInput(f"{target}: exists already; give --out another name, or --force")
    with written_aside(target) as aside:
        aside.write_text(guess.schema.to_toml(), encoding="utf-8")
    _say_guess(guess.notes, guess.left_out)
    out.print(f"Wrote {target}. Read it, correct it, then: counterfoil train {data} --profile {target}")


@cli.command()
def train(
    data: Annotated[
        list[str], typer.Argument(help="Files or globs: CSV (also .gz, .zst), Parquet.", show_default=False)
    ],
    profile: Annotated[
        str | None,
        typer.Option(help="payments, ulb, handbook, or a profile file. [dim]\\[default: guessed, and said][/]"),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Label column (1 = fraud), instead of the profile's.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "--artifacts",
            help="Folder of the model versions. [dim]\\[default: $COUNTERFOIL_ARTIFACTS or artifacts][/]",
        ),
    ] = None,
    alert_rate: AlertRateOption = None,
    alerts_per_day: AlertsPerDayOption = None,
    min_precision: MinPrecisionOption = None,
    min_recall: MinRecallOption = None,
    max_cost: MaxCostOption = None,
    missed_fraud: MissedFraudOption = None,
    decline_alert_rate: DeclineAlertRateOption = None,
    decline_min_precision: DeclineMinPrecisionOption = None,
    code_size: Annotated[
        int | None, typer.Option(help="Width of the code. [dim]\\[default: 3/4 of the inputs][/]")
    ] = None,
    hidden: Annotated[
        str | None,
        typer.Option(help="Widths of the hidden layers, e.g. 128 or 128,64. [dim]\\[default: 128][/]"),
    ] = None,
    members: Annotated[int | None, typer.Option(help="Autoencoders in the ensemble. [dim]\\[default: 4][/]")] = None,
    noise: Annotated[
        float | None,
        typer.Option(help="Noise added to the inputs in training (denoising). [dim]\\[default: 0.3][/]"),
    ] = None,
    architecture: Annotated[
        Architecture, typer.Option(help="overcomplete needs noise above 0.")
    ] = Architecture.undercomplete,
    error: Annotated[ErrorKind, typer.Option(help="How residuals become an error.")] = ErrorKind.whitened,
    label_delay: Annotated[
        str | None, typer.Option(help="How late labels arrive, e.g. 7d. [dim]\\[default: the profile's][/]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same data, seed and machine: the same model.", min=0, max=2**32 - 1)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    activate: Annotated[bool, typer.Option("--activate/--no-activate", help="Serve the new version.")] = True,
) -> None:
    """Train on legitimate transactions and publish a model version.

    The last fifth of the rows in time is the test part, read once; the rows before it calibrate the score.

    Example: counterfoil train history/*.csv.gz --profile bank.toml --alert-rate 0.002
    """
    from models.schema import load_schema
    from models.tables import expand
    from models.thresholds import Policy
    from training.fit import FitOptions
    from training.profile import guess_profile
    from training.read import read_history
    from training.train import TrainingJob
    from training.train import train as run_training

    policy = _policy(alert_rate, alerts_per_day, min_precision, min_recall, max_cost, missed_fraud)
    decline = _decline(decline_alert_rate, decline_min_precision)
    files = expand(data)
    if profile is None:
        guess = guess_profile(files[0], label=label)
        out.print("No --profile given; guessed from the first file:")
        _say_guess(guess.notes, guess.left_out)
        schema = guess.schema
    else:
        schema = load_schema(profile)
        if label is not None:
            schema = schema.with_label(label)
    if label is not None:
        _require_label(schema, files, label)
    given: dict[str, Any] = {"code_size": code_size, "members": members, "noise": noise}
    if hidden is not None:
        given["hidden"] = _widths(hidden)
    options = FitOptions(
        architecture=architecture.value,
        error=error.value,
        **{name: value for name, value in given.items() if value is not None},
    )
    registry = Registry(output or load_settings().artifacts)
    with _progress("loss") as bars:
        reading = bars.add_task("reading", total=None, loss="")
        history = read_history(schema, files, progress=_advance(bars, reading))
        bars.remove_task(reading)
        registry.prepare()
        task = bars.add_task("training", total=None, loss="")

        def step(state: FitProgress) -> None:
            loss = f"loss {state.loss:.4f} held-in {state.held_in_loss:.4f} rate {state.learning_rate:.1e}"
            bars.update(task, total=state.steps, completed=state.step, loss=loss)

        def stage(name: str) -> None:
            bars.update(task, description=name)

        job = TrainingJob(
            schema=schema,
            fit=options,
            policy=policy or Policy(name="alert-rate", value=DEFAULT_ALERT_RATE),
            decline=decline,
            label_delay=label_delay,
            seed=seed,
            device=device,
        )
        if not history.labelled:
            out.print("No labels: every row is taken for legitimate, and detection cannot be measured.")
        manifest, folder = run_training(job, history, registry, on_progress=step, on_stage=stage)
        bars.remove_task(task)
    _say_trained(manifest, folder)
    _activate(registry, manifest.version, activate)


@cli.command()
def score(
    data: InputArgument,
    output: Annotated[Path, typer.Option("--out", help="CSV (also .gz, .zst) or Parquet.", show_default=False)],
    model: ModelOption = None,
    reasons: Annotated[int, typer.Option(help="Reasons per row, each in a column.", min=0, max=20)] = 0,
    on_error: OnErrorOption = OnError.stop,
    state: StateOption = State.snapshot,
    record: Annotated[
        bool,
        typer.Option("--record", help="With --state live: record the rows as if they had been sent. Stop the service."),
    ] = False,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Score a table: its columns, untouched and in order, plus score, reconstruction_error, is_anomaly, decision.

    Behaviour features are computed in the order of time, whatever the order of the rows.
    Exit code 1 if any row was rejected.

    Example: counterfoil score today.csv --out scored.csv --reasons 3 --on-error reject
    """
    from app.pseudonyms import Pseudonyms
    from app.recording.record_table import record_table
    from app.recording.recorder import Recorder
    from app.requests.model import RequestModel
    from models.batch import score_table

    with _progress() as bars:
        task = bars.add_task("scoring", total=None)
        scorer = _scorer(model, artifacts)
        if record:
            if state is not State.live:
                raise InvalidInput("--record goes with --state live: what is recorded changes the live states")
            settings = _settings({"database_url": database})
            requests = RequestModel(scorer.schema, scorer.vocabulary, 1, Pseudonyms.open(settings, scorer.schema))
            with closing(Recorder.open(settings, scorer, requests)) as recorder:
                report = record_table(
                    recorder,
                    requests,
                    scorer.schema,
                    data,
                    output,
                    reasons=reasons,
                    on_error=on_error.value,
                    on_progress=_advance(bars, task),
                )
        else:
            report = score_table(
                scorer,
                data,
                output,
                reasons=reasons,
                on_error=on_error.value,
                continuation=_continuation(scorer, state, database),
                on_progress=_advance(bars, task),
            )
    share = f" ({report.alerts / report.rows:.2%})" if report.rows else ""
    out.print(f"{output}: {report.rows:,} rows scored, {report.alerts:,} alerts{share}")
    _say_rejected(report.rejected, report.rejects)


@cli.command()
def embed(
    data: InputArgument,
    output: Annotated[Path, typer.Option("--out", help="CSV (also .gz, .zst) or Parquet.", show_default=False)],
    model: ModelOption = None,
    on_error: OnErrorOption = OnError.stop,
    state: StateOption = State.snapshot,
    artifacts: ArtifactsOption = None,
) -> None:
    """Write the code h = f(x) of every row as columns code_1, code_2, … for use as features.

    Example: counterfoil train data.csv --code-size 2 --no-activate, then counterfoil embed data.csv --out codes.csv
    """
    from models.batch import embed_table

    with _progress() as bars:
        task = bars.add_task("embedding", total=None)
        scorer = _scorer(model, artifacts)
        report = embed_table(
            scorer,
            data,
            output,
            on_error=on_error.value,
            continuation=_continuation(scorer, state),
            on_progress=_advance(bars, task),
        )
    out.print(f"{output}: {report.rows:,} rows")
    _say_rejected(report.rejected, report.rejects)


@cli.command()
def evaluate(
    data: InputArgument,
    model: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    report: Annotated[Path | None, typer.Option(help="Also write a report (HTML) about this data.")] = None,
    state: StateOption = State.snapshot,
    artifacts: ArtifactsOption = None,
) -> None:
    """Measure a model on labelled transactions it was not trained on.

    Example: counterfoil evaluate november.csv --json
    """
    from models.tables import written_aside
    from training.behaviour import continued
    from training.evaluate import measure
    from training.read import read_history
    from training.report import ScoredPart, render_report

    scorer = _scorer(model, artifacts)
    schema = scorer.schema
    _require_label(schema, [data], schema.label)
    with _progress() as bars:
        task = bars.add_task("reading", total=None)
        history = read_history(schema, [data], progress=_advance(bars, task))
    continuation = _continuation(scorer, state)
    if continuation is not None:
        history = continued(continuation, history)
    part = ScoredPart.of(scorer, history.batch(scorer.vocabulary), history)
    threshold = scorer.manifest.threshold.score
    metrics = measure(data.name, part.scores.score, history.label, threshold, labelled=history.labelled)
    if report is not None:
        with written_aside(report) as aside:
            aside.write_bytes(render_report(scorer, part, loss=None))
    if as_json:
        print(json.dumps({"model_version": scorer.manifest.version, **metrics.model_dump()}))
        return
    out.print(f"Model {scorer.manifest.version}")
    _say_metrics(metrics)
    if report is not None:
        out.print(f"Report: {report}")


@cli.command()
def serve(
    host: Annotated[str | None, typer.Option(help="[dim]\\[default: $COUNTERFOIL_HOST or 127.0.0.1][/]")] = None,
    port: Annotated[int | None, typer.Option(help="[dim]\\[default: $COUNTERFOIL_PORT or 8000][/]")] = None,
    model: Annotated[
        str | None, typer.Option(help="A version's name or folder. [dim]\\[default: the active version][/]")
    ] = None,
    database: DatabaseOption = None,
    durability: Annotated[
        Durability | None,
        typer.Option(
            help="What a power cut can cost: [bold]full[/] nothing that was answered, [bold]normal[/] the last "
            "moments. [dim]\\[default: $COUNTERFOIL_DURABILITY or full][/]"
        ),
    ] = None,
    on_store_failure: Annotated[
        OnStoreFailure | None,
        typer.Option(
            help="While the store takes no writes: [bold]refuse[/] transactions, or [bold]score[/] them unrecorded. "
            "[dim]\\[default: $COUNTERFOIL_ON_STORE_FAILURE or refuse][/]"
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes; several need a redis:// store.")] = 1,
    artifacts: ArtifactsOption = None,
) -> None:
    """Answer scoring requests over HTTP. Stops cleanly on SIGTERM and Ctrl-C.

    Example: counterfoil serve --port 9000
    """
    from app.server import run

    given = {"host": host, "port": port, "model": model, "artifacts": artifacts, "database_url": database}
    given |= {"durability": durability, "on_store_failure": on_store_failure}
    run(_settings(given), workers)


@cli.command()
def warm(
    data: Annotated[
        list[str], typer.Argument(help="Files or globs: CSV (also .gz, .zst), Parquet.", show_default=False)
    ],
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Load history into the store before the first request, so that no card is new to the service.

    The service must not be running, and must not have recorded anything. By itself it begins with the states after the
    model's last training row; rows that are all later than that go on from there, others replace it.

    Example: counterfoil warm october/*.csv
    """
    from app.recording.warm import warm as warm_store
    from models.tables import expand

    files = expand(data)
    settings = _settings({"artifacts": artifacts, "database_url": database})
    scorer = _scorer(model, artifacts)
    with _progress() as bars:
        task = bars.add_task("reading", total=None)
        warmed = warm_store(settings, scorer, files, _advance(bars, task))
    onto = "on top of the model's own snapshot" if warmed.onto_snapshot else "in place of the model's own snapshot"
    out.print(f"{warmed.rows:,} transactions loaded, {onto}: {warmed.entities:,} cards, merchants and others known")


@cli.command()
def replay(
    transaction: Annotated[
        str | None, typer.Argument(help="Id of one transaction to reproduce.", show_default=False)
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Check every decision since this time (ISO 8601) or of the last e.g. 7d.")
    ] = None,
    reasons: Annotated[
        int | None,
        typer.Option(
            help="Check nothing; print so many reasons of the transaction, whatever was asked for then. Without ids, "
            "its place in the order of arrival is its name.",
            min=1,
            max=20,
        ),
    ] = None,
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Recompute served decisions from the log: features, score and reasons must come out as they were answered.

    May run beside the service. Exit code 1 if anything differs.

    Example: counterfoil replay --since 1d, or: counterfoil replay tx-1, or: counterfoil replay tx-1 --reasons 5
    """
    from app.decisions.later_reasons import later_reasons
    from app.decisions.query import find
    from app.recording.check_log import LogCheck, moment
    from app.store.open import open_store
    from models.bundle import read_manifest

    if (transaction is None) == (since is None):
        raise InvalidInput("name a transaction, or --since a time, e.g. --since 7d")
    if reasons is not None and transaction is None:
        raise InvalidInput("--reasons: of which transaction? Name one in place of --since")
    settings = _settings({"artifacts": artifacts, "database_url": database})
    start = moment(since) if since is not None else 0
    registry = Registry(settings.artifacts)
    store = open_store(settings.database_url, read_only=True)
    try:
        if transaction is not None and reasons is not None:
            schema = read_manifest(registry.resolve(model or settings.model)).transaction_schema
            recorded = find(store, schema, transaction)
            if recorded is None:
                raise InvalidInput("no transaction with this id is recorded")
            for one in later_reasons(recorded.decision, registry, reasons):
                out.print(one.text)
            return
        check = LogCheck(store, registry, _scorer(model, artifacts))
        if transaction is not None:
            decision, checked, features = check.one(transaction)
            print(decision.reply.decode())
            for name, value in features.items():
                out.print(f"  {name:<40} {value:.17g}")
        else:
            with _progress() as bars:
                task = bars.add_task("checking", total=store.last_seq())
                checked = check.all(start, lambda seq: bars.update(task, completed=seq))
    finally:
        store.close()
    out.print(f"{checked.decisions:,} decisions recomputed, {len(checked.mismatches):,} differ")
    for reason, count in checked.skipped.items():
        out.print(f"  {count:,} not recomputed: {reason}")
    for mismatch in checked.mismatches:
        out.print(f"  {mismatch.transaction_id or mismatch.seq}: {', '.join(mismatch.what)} differ")
    if checked.mismatches:
        raise typer.Exit(EXIT_REJECTED)


EntityOption = Annotated[
    str | None, typer.Option("--entity", help="Of this one: a section of the profile and its id, e.g. merchant=m-17.")
]
CardOption = Annotated[str | None, typer.Option("--card", help="Short for --entity card=ID.")]


@cli.command()
def export(
    output: Annotated[Path, typer.Argument(help="CSV (also .gz, .zst) or Parquet.", show_default=False)],
    since: Annotated[str | None, typer.Option(help="Arrived then or later (ISO 8601), or in the last e.g. 7d.")] = None,
    until: Annotated[str | None, typer.Option(help="Arrived before then.")] = None,
    decision: Annotated[str | None, typer.Option(help="approve, review or decline.")] = None,
    is_anomaly: Annotated[str | None, typer.Option(help="true: at or above the threshold; false: below.")] = None,
    min_score: Annotated[str | None, typer.Option(help="This score or more.")] = None,
    card: CardOption = None,
    entity: EntityOption = None,
    label: Annotated[str | None, typer.Option(help="Latest label: fraud, legitimate or disputed.")] = None,
    model_version: Annotated[str | None, typer.Option(help="The version that scored.")] = None,
    caller: Annotated[str | None, typer.Option(help="Who asked.")] = None,
    transactions: Annotated[
        bool,
        typer.Option(
            "--transactions",
            help="Not the decisions but the transactions, oldest first, as a table of the profile's own columns, label "
            "included: what [bold]train[/], [bold]evaluate[/], [bold]score[/] and [bold]warm[/] read.",
        ),
    ] = False,
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Write recorded decisions to a file, newest first. May run beside the service.

    In a CSV, a text that a spreadsheet would take for a formula stands behind an apostrophe.

    Example: counterfoil export alerts.csv --since 7d --is-anomaly true, or: export all.parquet --transactions
    """
    from app.decisions.export import frames, write
    from app.decisions.options import filter_of, named_entity
    from app.decisions.transactions import transaction_frames
    from app.pseudonyms import Pseudonyms
    from app.recording.recovery import require_pseudonyms
    from app.store.open import open_store
    from models.bundle import read_manifest
    from models.tables import table_kind

    table_kind(output)
    settings = _settings({"artifacts": artifacts, "database_url": database})
    schema = read_manifest(Registry(settings.artifacts).resolve(model or settings.model)).transaction_schema
    given = {"since": since, "until": until, "decision": decision, "is_anomaly": is_anomaly, "min_score": min_score}
    given |= {"label": label, "model_version": model_version, "caller": caller}
    pseudonyms = Pseudonyms.open(settings, schema)
    wanted = filter_of(given, named_entity(card, entity), schema, pseudonyms)
    with closing(open_store(settings.database_url, read_only=True)) as store:
        if wanted.entities:
            require_pseudonyms(store.origin(), pseudonyms)
        written = write((transaction_frames if transactions else frames)(store, wanted, schema), output)
    out.print(f"{output}: {written.rows:,} {'transactions' if transactions else 'decisions'}")
    if transactions and written.quoted:
        out.print(f"  {written.quoted:,} texts stand behind an apostrophe, not as they were sent: Parquet keeps them")


@cli.command()
def purge(
    before: Annotated[
        str | None, typer.Option(help="Erase what arrived before this time (ISO 8601), or longer ago than e.g. 400d.")
    ] = None,
    card: CardOption = None,
    entity: EntityOption = None,
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Erase old decisions, or all of one card, merchant or other entity: decisions, labels and states.

    What remains goes on as if nothing had been erased. Broken off, the same command again finishes. A running service
    erases by POST /v1/purge. Backups and the states beside the model versions are yours to erase.

    Example: counterfoil purge --before 400d, or: counterfoil purge --card card-000106
    """
    from app.decisions.options import key_of, named_entity
    from app.decisions.purge import purge_store
    from app.pseudonyms import Pseudonyms
    from app.recording.check_log import moment

    named = named_entity(card, entity)
    if (before is None) == (named is None):
        raise InvalidInput("say what to erase: --before a time, or --card or --entity one of them")
    settings = _settings({"artifacts": artifacts, "database_url": database})
    scorer = _scorer(model, artifacts)
    key = None if named is None else key_of(*named, scorer.schema, Pseudonyms.open(settings, scorer.schema))
    moment_before = None if before is None else moment(before, "--before")
    if moment_before is not None and moment_before > moment("0s"):
        raise InvalidInput("--before: in the future")
    purged = purge_store(settings, scorer, moment_before, key)
    out.print(f"{purged.decisions:,} decisions erased, with their labels")
    if purged.folded:
        out.print(f"Decisions up to place {purged.folded:,} can no longer be recomputed by 'counterfoil replay'.")
    if not purged.scrubbed:
        out.print("A reader keeps an older state of the store open: end it and run this again to empty the files.")
        raise typer.Exit(EXIT_REJECTED)


@cli.command()
def threshold(
    model: ModelOption = None,
    alert_rate: AlertRateOption = None,
    alerts_per_day: AlertsPerDayOption = None,
    min_precision: MinPrecisionOption = None,
    min_recall: MinRecallOption = None,
    max_cost: MaxCostOption = None,
    missed_fraud: MissedFraudOption = None,
    decline_alert_rate: DeclineAlertRateOption = None,
    decline_min_precision: DeclineMinPrecisionOption = None,
    activate: Annotated[bool, typer.Option("--activate/--no-activate", help="Serve the new version.")] = True,
    artifacts: ArtifactsOption = None,
) -> None:
    """Give a version another threshold without retraining: a new version with the same network.

    The threshold you name no policy for, review or decline, keeps its own.

    Example: counterfoil threshold --alerts-per-day 80
    """
    from training.rethreshold import rethreshold

    policy = _policy(alert_rate, alerts_per_day, min_precision, min_recall, max_cost, missed_fraud)
    decline = _decline(decline_alert_rate, decline_min_precision)
    if policy is None and decline is None:
        raise InvalidInput("name a policy, e.g. --alerts-per-day 80; 'counterfoil threshold --help' lists them")
    registry = Registry(artifacts or load_settings().artifacts)
    folder = registry.resolve(model or load_settings().model)
    manifest, published = rethreshold(folder, registry, policy, decline=decline)
    out.print(f"Model version {manifest.version}, from {folder.name}")
    _say_threshold(manifest)
    out.print(f"  report       {published / 'report.html'}")
    _activate(registry, manifest.version, activate)


@cli.command()
def models(artifacts: ArtifactsOption = None) -> None:
    """List the model versions, the active one marked.

    Example: counterfoil models --artifacts artifacts
    """
    from models.bundle import read_manifest

    registry = Registry(artifacts or load_settings().artifacts)
    active = registry.active()
    table = Table(box=None)
    for column in ("", "version", "trained on", "rows", "ROC AUC", "average precision", "threshold"):
        table.add_column(column)
    for version in registry.versions():
        try:
            manifest = read_manifest(registry.folder(version))
        except InvalidBundle as error:
            table.add_row("*" if version == active else "", version, f"damaged: {error}")
            continue
        part, metrics = manifest.training.train, manifest.metrics
        table.add_row(
            "*" if version == active else "",
            version,
            f"{part.start} … {part.end}" if part.start else manifest.transaction_schema.name,
            f"{part.rows:,}",
            _figure(metrics.roc_auc),
            _figure(metrics.average_precision),
            _score(manifest.threshold.score),
        )
    if table.row_count == 0:
        out.print(f"No model versions in {registry.root}. Run 'counterfoil train' first.")
    else:
        tables.print(table)


@cli.command()
def activate(
    version: Annotated[str, typer.Argument(help="As 'counterfoil models' lists it.", show_default=False)],
    artifacts: ArtifactsOption = None,
) -> None:
    """Make a version the one that serves; also the way to roll back.

    Example: counterfoil activate 20260131T081500Z-1a2b3c4d
    """
    registry = Registry(artifacts or load_settings().artifacts)
    before = registry.active()
    registry.activate(version)
    out.print(f"Active: {version}" + (f" (before: {before})" if before and before != version else ""))


@keys_cli.command("create")
def create_key(
    client: Annotated[str, typer.Argument(help="Who gets it; recorded with what he sends.", show_default=False)],
    scope: Annotated[
        list[KeyScope],
        typer.Option(help="What it may do; give it once for each. admin may do everything.", show_default=False),
    ],
    expires: Annotated[
        str | None, typer.Option(help="How long it is good, e.g. 90d. [dim]\\[default: for ever][/]")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help="Requests per second, 0 for no limit. [dim]\\[default: $COUNTERFOIL_RATE_LIMIT][/]"),
    ] = None,
) -> None:
    """Make an API key and print it: this once, it is kept nowhere.

    A client may have two live keys: make the new one, let the client change over, revoke the old one.

    Example: counterfoil keys create switch --scope score --scope feedback --expires 90d
    """
    from app.access import key_changes
    from app.access.keys import MOST_RATE

    if rate is not None and not 0 <= rate <= MOST_RATE:
        raise InvalidInput(f"--rate: expected a number from 0 to {MOST_RATE:g}")
    path = load_settings().keys_file
    made, secret = key_changes.create_key(
        path, client, [one.value for one in scope], lifetime=_lifetime(expires), rate=rate
    )
    until = f", until {made.expires_at:%Y-%m-%d %H:%M} UTC" if made.expires_at else ""
    err.print(
        f"Key {made.id} of {made.client} in {path}: {', '.join(made.scopes)}{until}. Shown this once:", markup=False
    )
    print(secret)


@keys_cli.command("list")
def list_keys() -> None:
    """List the API keys: whose they are and what they may do, never the keys themselves.

    Example: counterfoil keys list
    """
    from app.access.keys import read_keys

    path = load_settings().keys_file
    keys = read_keys(path)
    if not keys:
        out.print(f"No keys in {path}. To make one: counterfoil keys create CLIENT --scope score")
        return
    now = datetime.now(UTC)
    table = Table(box=None)
    for column in ("id", "client", "scopes", "created", "expires", "requests/s", ""):
        table.add_column(column)
    for key in keys:
        table.add_row(
            key.id,
            key.client,
            ", ".join(key.scopes),
            f"{key.created_at:%Y-%m-%d %H:%M}",
            f"{key.expires_at:%Y-%m-%d %H:%M}" if key.expires_at else "never",
            "as set" if key.rate is None else f"{key.rate:g}" if key.rate else "no limit",
            "" if key.live(now) else "expired",
        )
    tables.print(table)


@keys_cli.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As 'counterfoil keys list' shows it.")],
) -> None:
    """Take an API key back for good. A running service refuses it within a second.

    Example: counterfoil keys revoke 1f9c03ab
    """
    from app.access import key_changes

    revoked = key_changes.revoke_key(load_settings().keys_file, key_id)
    out.print(f"Revoked: key {revoked.id} of {revoked.client}")


def main() -> None:
    """Run the command line; turn expected failures into one line on standard error."""
    _stopping.clear()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        cli(standalone_mode=True)
    except CounterfoilError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(EXIT_ERROR)
    except (KeyboardInterrupt, SystemExit) as stop:
        if isinstance(stop, SystemExit) and stop.code != EXIT_INTERRUPTED:  # Typer turns Ctrl-C into an exit code
            raise
        _say_interrupted()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _TRAINING_PACKAGES:
            raise
        err.print("[bold red]error:[/] this command needs", error.name, end="; ")
        err.print("only training installs it; run the command where models are trained", markup=False)
        sys.exit(EXIT_ERROR)
    except BrokenPipeError:
        os._exit(EXIT_ERROR)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        err.print(f"[bold red]error:[/] {escape(f'{where}{error.strerror or error}')}")
        sys.exit(EXIT_ERROR)
    except Exception:
        if not _stopping.is_set():
            raise
        _say_interrupted()  # a library may have made an error of its own of it, as Numba does while it compiles


#: Set once the command was asked to stop.
_stopping = threading.Event()


def _stop(signum: int, frame: FrameType | None) -> None:
    _stopping.set()
    raise KeyboardInterrupt


def _say_interrupted() -> NoReturn:
    err.print("Interrupted; nothing half-written was left behind.")
    sys.exit(EXIT_INTERRUPTED)


def _scorer(model: str | None, artifacts: Path | None) -> Scorer:
    settings = load_settings()
    registry = Registry(artifacts or settings.artifacts)
    return Scorer.load(registry.resolve(model or settings.model), threads=os.cpu_count() or 1)


def _settings(given: dict[str, Any]) -> Settings:
    return load_settings(**{name: value for name, value in given.items() if value is not None})


def _continuation(scorer: Scorer, state: State, database: str | None = None) -> Continuation | None:
    """What behaviour features of a table go on from; None where the model has none."""
    from app.pseudonyms import Pseudonyms
    from app.recording.recovery import live_states, snapshot_of
    from app.store.open import open_store
    from models.behaviour.continuation import Continuation
    from models.behaviour.events import Behaviour

    behaviour = Behaviour(scorer.schema)
    if not behaviour:
        return None
    if state is State.empty:
        return Continuation(behaviour, lambda keys: {})
    if state is State.live:
        settings = _settings({"database_url": database})
        pseudonyms = Pseudonyms.open(settings, scorer.schema)
        store = open_store(settings.database_url, read_only=True)
        return Continuation(behaviour, live_states(store, scorer.schema, pseudonyms), pseudonyms.rows)
    snapshot = snapshot_of(scorer)
    return Continuation(behaviour, lambda keys: snapshot.states if snapshot else {})


def _lifetime(text: str | None) -> timedelta | None:
    from models.durations import duration_seconds

    if text is None:
        return None
    try:
        seconds = duration_seconds(text)
    except ValueError as error:
        raise InvalidInput(f"--expires: {error}") from None
    if not 0 < seconds <= MOST_LIFETIME_SECONDS:
        raise InvalidInput("--expires: expected more than 0 and at most 36500d")
    return timedelta(seconds=seconds)


def _activate(registry: Registry, version: str, wanted: bool) -> None:
    if wanted:
        registry.activate(version)
        out.print("This version is now active.")
    else:
        out.print(f"Not active. To serve it: counterfoil activate {version}")


def _policy(
    alert_rate: float | None,
    alerts_per_day: float | None,
    min_precision: float | None,
    min_recall: float | None,
    max_cost: float | None,
    missed_fraud: float | None,
    prefix: str = "",
) -> Policy | None:
    from models.thresholds import Policy

    if missed_fraud is not None and (max_cost is None or not 0 < missed_fraud <= MOST_MONEY):
        raise InvalidInput(f"--missed-fraud: goes with --max-cost; a number above 0 and at most {MOST_MONEY:g}")
    given = {
        "alert-rate": alert_rate,
        "alerts-per-day": alerts_per_day,
        "min-precision": min_precision,
        "min-recall": min_recall,
        "max-cost": max_cost,
    }
    chosen = [(name, value) for name, value in given.items() if value is not None]
    if not chosen:
        return None
    (name, value), *others = chosen
    if others:
        raise InvalidInput(f"--{prefix}{name} and --{prefix}{others[0][0]}: give one policy, not several")
    _require_range(prefix + name, value)
    return Policy.model_validate({"name": name, "value": value, "missed_fraud": missed_fraud})


def _decline(alert_rate: float | None, min_precision: float | None) -> Policy | None:
    return _policy(alert_rate, None, min_precision, None, None, None, prefix="decline-")


def _require_range(name: str, value: float) -> None:
    if name.removeprefix("decline-") in ("alert-rate", "min-precision", "min-recall") and not 0 < value < 1:
        raise InvalidInput(f"--{name}: expected a share above 0 and below 1, e.g. 0.005")
    if not 0 < value <= MOST_MONEY:
        raise InvalidInput(f"--{name}: expected a number above 0 and at most {MOST_MONEY:g}")


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InvalidInput("--hidden: expected whole numbers separated by commas, e.g. 128,64") from None


def _require_label(schema: TransactionSchema, files: list[Path], label: str | None) -> None:
    from models.parsing import require_columns
    from models.tables import TableReader

    if label is None:
        raise InvalidInput(f"profile '{schema.name}' has no label column, so there is nothing to measure against")
    for file in files:
        require_columns(schema, TableReader(file).columns, source=str(file), label=True)


@contextmanager
def _progress(*fields: str) -> Iterator[Progress]:
    columns = [TextColumn(f"{{task.fields[{field}]}}") for field in fields]
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        *columns,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as bars:
        yield bars


def _advance(bars: Progress, task: TaskID) -> Callable[[int, int], None]:
    def update(done: int, total: int) -> None:
        bars.update(task, completed=done, total=total)

    return update


def _say_guess(notes: tuple[str, ...], left_out: tuple[str, ...]) -> None:
    kinds: dict[str, list[str]] = {}
    for note in notes:
        name, kind = note.rsplit(": ", 1)
        kinds.setdefault(kind, []).append(name)
    for kind, names in kinds.items():
        shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
        out.print(f"  {kind:<12}{shown}")
    for note in left_out:
        out.print(f"  left out    {note}")


def _say_trained(manifest: Manifest, folder: Path) -> None:
    shape, training = manifest.architecture, manifest.training
    out.print(f"Model version {manifest.version}")
    period = f", {training.train.start} to {training.train.end}" if training.train.start else ""
    out.print(f"  trained on   {training.train.rows - training.train.fraud:,} transactions{period}")
    for cause, rows in training.left_out.items():
        out.print(f"  left out     {rows:,}: {cause}")
    out.print(
        f"  network      {shape.members} × {shape.inputs}-{'-'.join(map(str, shape.hidden))}-{shape.code_size} "
        f"({shape.architecture}), {shape.steps:,} steps"
    )
    _say_threshold(manifest)
    _say_metrics(manifest.metrics)
    seen, promised = manifest.metrics.alert_rate_legitimate, manifest.threshold
    if seen is not None and not promised.alert_rate_low / _FAR_OFF <= seen <= promised.alert_rate_high * _FAR_OFF:
        out.print(
            f"  WARNING      {seen:.2%} of the legitimate test rows alert, {promised.alert_rate:.2%} were promised: "
            "traffic has changed since the calibration part, or the rows are not in time order"
        )
    out.print(f"  report       {folder / 'report.html'}")


def _say_threshold(manifest: Manifest) -> None:
    threshold = manifest.threshold
    out.print(
        f"  threshold    {_score(threshold.score)} ({threshold.policy.name} {threshold.policy.value:g}): "
        f"{threshold.alert_rate:.2%} of legitimate transactions alert "
        f"({threshold.alert_rate_low:.2%} to {threshold.alert_rate_high:.2%})"
    )
    if threshold.decline is not None and threshold.decline_policy is not None:
        policy = threshold.decline_policy
        out.print(f"  decline from {_score(threshold.decline)} ({policy.name} {policy.value:g})")


def _say_metrics(metrics: Metrics) -> None:
    out.print(
        f"  measured on  {metrics.part}: {metrics.rows:,} rows"
        + ("" if metrics.fraud is None else f", {metrics.fraud:,} fraud ({metrics.prevalence:.3%})")
    )
    if metrics.fraud is not None and metrics.roc_auc is None:
        out.print("               only one class present: ranking cannot be measured")
    if metrics.roc_auc is not None:
        out.print(f"  ROC AUC      {_figure(metrics.roc_auc)}")
        out.print(f"  average precision {_figure(metrics.average_precision)}")
        out.print(f"  at threshold precision {_figure(metrics.precision)}, recall {_figure(metrics.recall)}")
    if metrics.alert_rate is not None:
        out.print(f"  alert rate   {metrics.alert_rate:.2%}")


def _score(value: float) -> str:
    return f"{value:.4f}" if value < 0.9999 else f"{value:.9g}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _say_rejected(rejected: int, rejects: Path | None) -> None:
    if rejected:
        err.print(f"{rejected:,} rows rejected: see {rejects}", markup=False)
        raise typer.Exit(EXIT_REJECTED)


if __name__ == "__main__":
    main()
