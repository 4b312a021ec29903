"""Tables in, tables out: ``counterfoil score``, ``embed``."""

from __future__ import annotations

from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import advance, err, out, progress
from cli.opening import fork_of, open_scorer, settings_with
from cli.options import (
    ArtifactsOption,
    DatabaseOption,
    InputArgument,
    ModelOption,
    OnError,
    OnErrorOption,
    State,
    StateOption,
)
from cli.say import say_rejected
from models.errors import InvalidInput

if TYPE_CHECKING:
    from models.scorer import Scorer
    from models.transform import BatchReport, Progress


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
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Keep what is done in .OUTPUT.kept; if broken off, the same command goes on."),
    ] = False,
    artifacts: ArtifactsOption = None,
) -> None:
    """Score a table: its columns, untouched and in order, plus score, reconstruction_error, is_anomaly, decision.

    Behaviour features are computed in the order of time, whatever the order of the rows.
    Exit code 1 if any row was rejected.

    Example: counterfoil score today.csv --out scored.csv --reasons 3 --on-error reject
    """
    from models.batch import score_table
    from models.familiarity import unfamiliar
    from models.kept_results import kept_results

    if resume and (record or state is State.live):
        raise InvalidInput("--resume does not go with --state live: the states, and so the scores, change meanwhile")
    with progress("rows") as bars, ExitStack() as stack:
        task = bars.add_task("scoring", total=None, rows="")
        scorer = open_scorer(model, artifacts)
        if record:
            if state is not State.live:
                raise InvalidInput("--record goes with --state live: what is recorded changes the live states")
            report = _recorded(scorer, data, output, reasons, on_error, database, advance(bars, task))
        else:
            kept = kept_results(scorer, data, output, reasons, state.value) if resume else nullcontext()
            report = score_table(
                scorer,
                data,
                output,
                reasons=reasons,
                on_error=on_error.value,
                fork=fork_of(scorer, state, database),
                on_progress=advance(bars, task),
                kept=stack.enter_context(kept),
            )
    share = f" ({report.alerts / report.rows:.2%})" if report.rows else ""
    out.print(f"{output}: {report.rows:,} rows scored, {report.alerts:,} alerts{share}")
    for name in report.unfamiliar:
        err.print(f"Note: {unfamiliar(name)}", markup=False)
    say_rejected(report.rejected, report.rejects)


def _recorded(
    scorer: Scorer,
    data: Path,
    output: Path,
    reasons: int,
    on_error: OnError,
    database: str | None,
    on_progress: Progress,
) -> BatchReport:
    from app.pseudonyms import Pseudonyms
    from app.recording.engine import Engine
    from app.recording.record_table import record_table
    from app.recording.recorder import Recorder
    from app.requests.encoder import Encoder

    settings = settings_with({"database_url": database})
    pseudonyms = Pseudonyms.open(settings, scorer.schema)
    with closing(Recorder.open(settings, scorer, pseudonyms)) as recorder:
        return record_table(
            recorder,
            Engine(scorer, settings.future_tolerance_seconds),
            Encoder(scorer.schema, scorer.vocabulary, pseudonyms),
            scorer.schema,
            data,
            output,
            reasons=reasons,
            on_error=on_error.value,
            on_progress=on_progress,
        )


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

    with progress("rows") as bars:
        task = bars.add_task("embedding", total=None, rows="")
        scorer = open_scorer(model, artifacts)
        report = embed_table(
            scorer,
            data,
            output,
            on_error=on_error.value,
            fork=fork_of(scorer, state),
            on_progress=advance(bars, task),
        )
    out.print(f"{output}: {report.rows:,} rows")
    say_rejected(report.rejected, report.rejects)
