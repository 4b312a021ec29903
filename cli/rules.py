"""Rules beside the score: ``counterfoil rules names``, ``check``, ``test``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import out, progress, tables
from cli.opening import registry_at, settings_with
from cli.options import ArtifactsOption, DatabaseOption, ModelOption

if TYPE_CHECKING:
    from app.rules.backtest import Backtest, Tally
    from models.schema import TransactionSchema

cli = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Rules that decide beside the score, in $COUNTERFOIL_RULES_FILE, by default rules.toml; a running service "
    "takes over a change within a second.",
)
FileArgument = Annotated[Path, typer.Argument(help="TOML.", show_default=False)]
SinceOption = Annotated[str, typer.Option(help="Decisions since this time (ISO 8601) or of the last e.g. 7d.")]


@cli.command("names")
def names(model: ModelOption = None, artifacts: ArtifactsOption = None) -> None:
    """List what rules may ask of a transaction.

    Example: counterfoil rules names
    """
    from rich.table import Table

    from app.rules.facts import Facts

    table = Table(box=None)
    for head in ("name", "is a"):
        table.add_column(head)
    for name, kind in Facts(_schema(model, artifacts)).kinds.items():
        table.add_row(name, "list of the columns that are listed" if kind == "columns" else kind)
    tables.print(table)


@cli.command("check")
def check(file: FileArgument, model: ModelOption = None, artifacts: ArtifactsOption = None) -> None:
    """Check a file of rules as a service would, and change nothing.

    Example: counterfoil rules check rules.toml
    """
    from app.rules.source import read_rules

    document = read_rules(file, _schema(model, artifacts)).document
    out.print(f"{file}: {len(document.rules):,} rules, version {document.version}")


@cli.command("test")
def test(
    file: FileArgument,
    since: SinceOption = "30d",
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Try rules on what was recorded: alerts a day, fraud found, what the score found, too. Changes nothing.

    The lists count as they stood when each transaction arrived. May run beside the service.

    Example: counterfoil rules test new.toml --since 30d
    """
    from app.decisions.options import moment_of
    from app.rules.backtest import Trial
    from app.rules.changing import catch_up
    from app.rules.rulebook import Rulebook
    from app.rules.source import read_rules
    from app.store.open import open_store

    schema = _schema(model, artifacts)
    rulebook = Rulebook(schema)
    rulebook.take(read_rules(file, schema))
    start = moment_of(since, "--since")
    settings = settings_with({"artifacts": artifacts, "database_url": database})
    with closing(open_store(settings.database_url, read_only=True)) as store, progress() as bars:
        catch_up(store, rulebook.lists)
        task = bars.add_task("trying", total=None)
        trial = Trial(store, registry_at(settings.artifacts), rulebook, schema)
        found = trial.run(start, lambda rows: bars.update(task, completed=rows))
    _tell(found, {rule.name: rule.outcome for rule in rulebook.rules.document.rules} if rulebook.rules else {})


def _schema(model: str | None, artifacts: Path | None) -> TransactionSchema:
    from models.bundle import read_manifest

    settings = settings_with({"artifacts": artifacts})
    return read_manifest(registry_at(settings.artifacts).resolve(model or settings.model)).transaction_schema


def _tell(found: Backtest, outcomes: dict[str, str]) -> None:
    from rich.table import Table

    days = f"{found.days:,} day{'' if found.days == 1 else 's'}"
    out.print(f"{found.all.rows:,} decisions of {days}, {found.all.fraud:,} known as fraud")
    for why, rows in found.skipped.items():
        out.print(f"  {rows:,} more not tried: {why}")
    table = Table(box=None)
    for head in ("", "alerts", "a day", "fraud found", "false alerts"):
        table.add_column(head)
    for told, tally in (("the model alone", found.model), ("with rules and lists", found.ruled)):
        table.add_row(told, *_counts(tally, found.days))
    tables.print(table)
    out.print(f"{found.ruled.model:,} of the alerts with rules and lists are the model's, too")
    for (before, after), rows in sorted(found.changed.items()):
        out.print(f"  {rows:,} would have been {after} in place of {before}")
    table = Table(box=None)
    for head in ("rule", "outcome", "matches", "a day", "fraud found", "false", "the model alerts, too", "alone"):
        table.add_column(head)
    for name, tally in found.rules.items():
        table.add_row(
            name, outcomes.get(name, "list"), *_counts(tally, found.days), f"{tally.model:,}", f"{tally.alone:,}"
        )
    tables.print(table)
    for name, why in found.failed.items():
        out.print(f"  rule {name} could not be told for some transactions, and did not hold: {why}")


def _counts(tally: Tally, days: int) -> tuple[str, ...]:
    return f"{tally.rows:,}", f"{tally.rows / days:.1f}", f"{tally.fraud:,}", f"{tally.legitimate:,}"
