"""Model versions: ``counterfoil models`` and its subcommands."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import EXIT_REJECTED, err, out, tables
from cli.opening import operator, registry_at, settings_with
from cli.options import ArtifactsOption, DatabaseOption
from cli.say import figure, say_threshold, score_text
from models.errors import CounterfoilError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.store.records import Activation

cli = typer.Typer(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
VersionArgument = Annotated[str, typer.Argument(help="As 'counterfoil models' lists it.", show_default=False)]


@cli.callback()
def models(context: typer.Context, artifacts: ArtifactsOption = None) -> None:
    """List the model versions, the active one marked; or what a subcommand says of them.

    Example: counterfoil models --artifacts artifacts, or: counterfoil models at 7d
    """
    if context.invoked_subcommand is None:
        list_versions(artifacts)


@cli.command("list")
def list_versions(artifacts: ArtifactsOption = None) -> None:
    """List the model versions, the active one marked.

    Example: counterfoil models list --artifacts artifacts
    """
    from rich.table import Table

    from app.versions.told import listed

    registry = registry_at(artifacts)
    table = Table(box=None)
    for column in ("", "version", "trained on", "rows", "ROC AUC", "average precision", "threshold"):
        table.add_column(column)
    for line in listed(registry):
        mark = "*" if line.active else ""
        if line.damaged is not None or line.rows is None or line.threshold is None:
            table.add_row(mark, line.version, f"damaged: {line.damaged}")
            continue
        table.add_row(
            mark,
            line.version,
            f"{line.trained_from} … {line.trained_until}" if line.trained_from else line.profile,
            f"{line.rows:,}",
            figure(line.roc_auc),
            figure(line.average_precision),
            score_text(line.threshold),
        )
    if table.row_count == 0:
        out.print(f"No model versions in {registry.root}. Run 'counterfoil train' first.")
    else:
        tables.print(table)


@cli.command()
def show(version: VersionArgument, artifacts: ArtifactsOption = None) -> None:
    """What a version is: its data, its threshold, what it was measured at.

    Example: counterfoil models show 20260131T081500Z-1a2b3c4d
    """
    from app.versions.told import facts
    from models.bundle import read_manifest

    registry = registry_at(artifacts)
    manifest = read_manifest(registry.folder(version))
    out.print(f"Model version {version}" + (", active" if version == registry.active() else ""))
    for name, value in facts(manifest).items():
        out.print(f"  {name:<40} {value}", markup=False, highlight=False)
    say_threshold(manifest)


@cli.command()
def diff(
    one: VersionArgument,
    other: Annotated[
        str | None, typer.Argument(help="Another. [dim]\\[default: the active one][/]", show_default=False)
    ] = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """In what two versions differ: a line each, what the first has and what the other has.

    Which transactions they decide otherwise, and why, is said by 'counterfoil retrain'.

    Example: counterfoil models diff 20260131T081500Z-1a2b3c4d
    """
    from app.versions.told import differences
    from models.bundle import read_manifest

    registry = registry_at(artifacts)
    found = differences(*(read_manifest(folder) for folder in (registry.folder(one), registry.resolve(other))))
    for line in found:
        out.print(f"{line.name}: {line.one} | {line.other}", markup=False, highlight=False)
    if not found:
        out.print("No difference.")


@cli.command("activate")
def activate(version: VersionArgument, artifacts: ArtifactsOption = None) -> None:
    """Make a version the one that serves, once it is verified; a running service takes it over.

    Example: counterfoil activate 20260131T081500Z-1a2b3c4d
    """
    registry = registry_at(artifacts)
    before = registry.active()
    registry.activate(version, by=operator())
    out.print(f"Active: {version}" + (f" (before: {before})" if before and before != version else ""))


@cli.command()
def rollback(database: DatabaseOption = None, artifacts: ArtifactsOption = None) -> None:
    """Go back to the version that served before the one that serves, as the store's log has it.

    Example: counterfoil models rollback
    """
    from app.versions.told import version_before

    before = version_before(_activations(database), registry_at(artifacts).active())
    activate(before, artifacts)


@cli.command()
def verify(
    version: Annotated[
        str | None, typer.Argument(help="One of them. [dim]\\[default: all][/]", show_default=False)
    ] = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Load versions as a service would: hashes, graph, and the outputs they must give. Exit code 1 if one is damaged.

    Example: counterfoil models verify
    """
    from app.versions.told import verified

    damaged = False
    for found in verified(registry_at(artifacts), version):
        if found.damaged is None:
            out.print(f"{found.version}: verified")
        else:
            damaged = True
            err.print(f"{found.version}: {found.damaged}", markup=False)
    if damaged:
        raise typer.Exit(EXIT_REJECTED)


@cli.command()
def at(
    time: Annotated[str, typer.Argument(help="ISO 8601, or how long ago, e.g. 7d.", show_default=False)],
    database: DatabaseOption = None,
) -> None:
    """Which version decided at a time, with which threshold, and who wanted it.

    A decision says itself which one made it: 'GET /v1/decisions/ID'.

    Example: counterfoil models at 2026-01-31T08:15:00Z
    """
    from app.decisions.options import moment_of
    from app.recording.activations import active_at
    from models.times import iso_text

    found = active_at(_activations(database), moment_of(time, "TIME"))
    if found is None:
        raise CounterfoilError("no version served from this store at that time")
    out.print(f"{found.version}, since {iso_text(found.at)}", highlight=False)
    decline = "" if found.decline is None else f", decline from {score_text(found.decline)}"
    out.print(f"  threshold    {score_text(found.threshold)}{decline}", highlight=False)
    for name, value in (("before", found.before), ("by", found.by), ("report", found.report)):
        if value is not None:
            out.print(f"  {name:<12} {value}", markup=False, highlight=False)


@cli.command("shadow")
def shadow_of(version: VersionArgument, database: DatabaseOption = None) -> None:
    """What a version that 'counterfoil shadow' runs would have decided, beside what was answered.

    Example: counterfoil models shadow 20260131T081500Z-1a2b3c4d
    """
    from app.shadow.results import Results
    from app.shadow.summary import shadow_reply
    from app.store.open import open_store

    settings = settings_with({"database_url": database})
    with (
        closing(Results(settings.shadow_file, writes=False)) as results,
        closing(open_store(settings.database_url, read_only=True)) as store,
    ):
        found = shadow_reply(results, store, version)
    if found is None:
        raise InvalidInput("this version shadowed nothing here: start 'counterfoil shadow VERSION' beside the service")
    out.print(found.text, highlight=False)
    for name, value in (
        ("behind", f"{found.behind:,} events"),
        ("skipped", f"{found.skipped:,}"),
        ("votes", f"{found.won} : {found.lost}"),
    ):
        out.print(f"  {name:<12} {value}", highlight=False)
    for change in found.changed:
        who = str(change.seq) if change.transaction_id is None else change.transaction_id
        told = f"{change.old} → {change.new}, score {score_text(change.old_score)} → {score_text(change.new_score)}"
        out.print(f"  {who:<12} {told}", markup=False, highlight=False)


def _activations(database: str | None) -> Sequence[Activation]:
    from app.store.open import open_store

    with closing(open_store(settings_with({"database_url": database}).database_url, read_only=True)) as store:
        return store.activations()
