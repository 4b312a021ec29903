"""``counterfoil retrain``: a challenger from the log and its labels, compared, and promoted if it is better."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import EXIT_NOT_ACTIVATED, err, out, progress
from cli.opening import keyed, open_scorer, registry_at, say_cache_trouble, settings_with
from cli.options import ArtifactsOption, DatabaseOption
from cli.say import say_trained, why_not_activated
from models.errors import InvalidInput

if TYPE_CHECKING:
    from app.settings import Settings
    from models.registry import Registry
    from models.schema import TransactionSchema
    from models.scorer import Scorer
    from training.optimise import FitProgress
    from training.report.bootstrap import Estimate
    from training.retrain.compare import Comparison
    from training.retrain.rows import Gathered, Source


def retrain(
    history: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files or globs of history beside the log: CSV (also .gz, .zst), Parquet.", show_default=False
        ),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Activate the challenger if it is shown to find more fraud.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train, compare, write the flips; publish and activate nothing.")
    ] = False,
    challenger: Annotated[
        str | None,
        typer.Option(help="Compare this version anew, on what is known by now, instead of training one."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--out", help="Folder for flips.html and flips.json.", show_default=True)
    ] = Path(),
    profile: Annotated[
        str | None, typer.Option(help="A profile for the challenger. [dim]\\[default: the active version's][/]")
    ] = None,
    label_delay: Annotated[
        str | None, typer.Option(help="How late labels arrive, e.g. 7d. [dim]\\[default: the active version's][/]")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same data, seed and machine: the same model.", min=0, max=2**32 - 1)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Train a challenger on what was recorded and labelled, and say what it would change.

    Fraud and disputed transactions are not fitted; those younger than the label delay are left out. The challenger has
    the active version's threshold policy and the layers of its network. The two are compared on the same rows, which
    neither has learned from, at the same alerts a day. May run beside the service.

    Exit code 3 if --promote was asked for and the challenger is not shown to be better; the message says why.

    Example: counterfoil retrain history/*.csv.gz --promote
    """
    from models.aside import written_aside
    from models.manifest import sha256
    from training.retrain.compare import compare
    from training.retrain.gate import judge
    from training.retrain.page import as_json, as_page
    from training.retrain.rows import gather

    settings = settings_with({"artifacts": artifacts, "database_url": database})
    registry = registry_at(settings.artifacts)
    active = open_scorer(None, artifacts)
    say_cache_trouble(active.schema)
    if challenger is not None and profile is not None:
        raise InvalidInput("--profile is of a challenger to be trained; --challenger names one that is")
    if not output.is_dir():
        raise InvalidInput(f"--out: {output} is no folder")
    with tempfile.TemporaryDirectory() as folder, progress("loss") as bars:
        task = bars.add_task("reading the log", total=None, loss="")
        delay = label_delay or active.manifest.training.label_delay
        source = _source(settings, active, history or [], Path(folder), delay)
        bars.update(task, description="reading")
        if challenger is None:
            schema = _schema(profile, active)
            gathered = gather(schema, source)
            say_gathered(gathered)
            bars.remove_task(task)
            where = registry_at(Path(folder) / "artifacts") if dry_run else registry
            new = _trained(gathered, schema, active, where, delay, seed, device)
            say_trained(new.manifest, None if dry_run else where.folder(new.manifest.version), schema.cycles)
        else:
            new = open_scorer(challenger, artifacts)
            gathered = gather(new.schema, source)
            say_gathered(gathered)
        old_history = gathered.history
        if not _same_rows(active.schema, new.schema):
            old_history = gather(active.schema, source).history
        found = compare(active, new, old_history, gathered.history)
        verdict = judge(found)
    report = as_json(found, verdict, gathered)
    for name, content in (("flips.html", as_page(found, verdict, gathered)), ("flips.json", report)):
        with written_aside(output / name) as aside:
            aside.write_bytes(content)
    say_comparison(found)
    out.print(f"  flips        {output / 'flips.html'}, {output / 'flips.json'}")
    out.print(f"{'Better' if verdict.passed else 'Not shown to be better'}. {verdict.why}")
    if dry_run:
        out.print("Dry run: nothing was published, nothing activated.")
    _settle(None if dry_run else registry, new, promote, verdict.passed, sha256(report))


def _settle(registry: Registry | None, new: Scorer, promote: bool, passed: bool, report: str) -> None:
    """Activate the challenger where that was asked for and the gate lets it; say what to do otherwise.

    Args:
        registry: None for a dry run.
        report: SHA-256 of what the gate was passed on.
    """
    version = new.manifest.version
    why = why_not_activated(new.manifest)
    if promote and not (passed and why is None):
        again = "" if registry is None else f" To compare it again later: counterfoil retrain --challenger {version}"
        err.print(f"NOT promoted{f': {why}' if passed else ''}.{again}", markup=False)
        raise typer.Exit(EXIT_NOT_ACTIVATED)
    if registry is None:
        return
    if promote:
        before = registry.active()
        registry.activate(version, by="counterfoil retrain", report=report)
        out.print(f"Promoted: {version} is now active (before: {before}).")
    else:
        out.print(f"Not active. To serve it all the same: counterfoil activate {version}")


def _source(settings: Settings, active: Scorer, history: list[str], folder: Path, delay: str) -> Source:
    """History files, and the log as a file in the folder."""
    from app.decisions.export import write
    from app.decisions.transactions import transaction_frames
    from app.pseudonyms import Pseudonyms
    from app.store.open import open_store
    from app.store.query import Filter
    from models.tables import expand
    from training.retrain.rows import Source, matured_until

    until = matured_until(active.schema, delay, time.time())
    # Where times are none of the calendar, a row's age is counted from its arrival.
    arrived = int((time.time() - _seconds(delay)) * 1e6) if until is None else None
    recorded: Path | None = folder / "recorded.parquet"
    with closing(open_store(settings.database_url, read_only=True)) as store:
        frames = transaction_frames(store, Filter(until=arrived), active.schema, outcomes=True)
        if not write(frames, folder / "recorded.parquet").rows:
            recorded = None
    pseudonyms = Pseudonyms.open(settings, active.schema)
    return Source(expand(history) if history else [], recorded, until, delay, pseudonyms.rows)


def _seconds(delay: str) -> int:
    from models.durations import duration_seconds

    return duration_seconds(delay)


def _schema(profile: str | None, active: Scorer) -> TransactionSchema:
    from models.schema import load_schema

    return active.schema if profile is None else keyed(load_schema(profile))


def _same_rows(one: TransactionSchema, other: TransactionSchema) -> bool:
    """Whether tables are read alike under both."""
    return one.columns == other.columns


def _trained(
    gathered: Gathered,
    schema: TransactionSchema,
    active: Scorer,
    registry: Registry,
    label_delay: str,
    seed: int,
    device: str,
) -> Scorer:
    """A challenger, published in the registry: the active version's policies, use of labels and kind of network."""
    from training.fit import FitOptions
    from training.second_opinion import NOVEL_SHARE
    from training.train import TrainingJob
    from training.train import train as run_training

    threshold, shape, second = (
        active.manifest.threshold,
        active.manifest.architecture,
        active.manifest.second_opinion,
    )
    job = TrainingJob(
        schema=schema,
        fit=FitOptions(
            hidden=tuple(shape.hidden),
            members=shape.members,
            noise=shape.noise,
            architecture=shape.architecture,
            grid=None if shape.grid is None else (shape.grid[0], shape.grid[1]),
            error=shape.error,
        ),
        policy=threshold.policy,
        decline=threshold.decline_policy,
        label_delay=label_delay,
        labels="use" if second else "ignore",
        novel_share=second.novel_share if second else NOVEL_SHARE,
        seed=seed,
        device=device,
    )
    with progress("loss") as bars:
        task = bars.add_task("training", total=None, loss="")

        def step(state: FitProgress) -> None:
            bars.update(task, total=state.steps, completed=state.step, loss=f"loss {state.loss:.4f}")

        _, folder = run_training(
            job,
            gathered.presumed(),
            registry,
            on_progress=step,
            on_stage=lambda name: bars.update(task, description=name),
        )
    return open_scorer(str(folder), registry.root)


def say_gathered(gathered: Gathered) -> None:
    """Where the rows are from, and what became of some of them."""
    out.print(f"{len(gathered.history):,} rows: {gathered.from_files:,} in files, {gathered.from_log:,} recorded")
    for words, rows in gathered.counts.items():
        out.print(f"  {rows:,} {words}")


def say_comparison(found: Comparison) -> None:
    """What would change."""
    out.print(f"Compared with {found.old.version} on {found.rows:,} rows, {found.period}")
    out.print(
        f"  labels       {found.fraud:,} fraud, {found.legitimate:,} legitimate; "
        f"{found.never_looked_at:,} never looked at"
    )
    out.print(
        f"  alerts       {found.old.own_alerts_per_day:.1f} a day each; {_spread(found.alerts_gained)} a day are others"
    )
    out.print(f"               at its own threshold the challenger raises {found.new.own_alerts_per_day:.1f} a day")
    out.print(f"  fraud found  {_spread(found.fraud_found, whole=True)} that the active version missed")
    out.print(f"  fraud lost   {_spread(found.fraud_lost, whole=True)} that the active version caught")
    out.print(f"  evidence     {found.evidence:.3g}, of {found.won} : {found.lost} votes")


def _spread(estimate: Estimate, *, whole: bool = False) -> str:
    digits = 0 if whole else 1
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"
