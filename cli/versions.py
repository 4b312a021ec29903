"""Model versions: ``counterfoil models`` and its subcommands."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import EXIT_REJECTED, err, out, tables
from cli.opening import operator, registry_at, settings_with
from cli.options import ArtifactsOption, DatabaseOption
from cli.say import figure, say_threshold, score_text
from models.errors import CounterfoilError, InvalidBundle, InvalidInput

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

    from models.bundle import read_manifest

    registry = registry_at(artifacts)
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
            figure(metrics.roc_auc),
            figure(metrics.average_precision),
            score_text(manifest.threshold.score),
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
    from models.bundle import read_manifest

    registry = registry_at(artifacts)
    manifest = read_manifest(registry.folder(version))
    out.print(f"Model version {version}" + (", active" if version == registry.active() else ""))
    for name, value in _facts(manifest.model_dump(mode="json")):
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
    from models.bundle import read_manifest

    registry = registry_at(artifacts)
    sides = [
        dict(_facts(read_manifest(folder).model_dump(mode="json")))
        for folder in (registry.folder(one), registry.resolve(other))
    ]
    names = [name for name in dict.fromkeys([*sides[0], *sides[1]]) if sides[0].get(name) != sides[1].get(name)]
    for name in names:
        out.print(f"{name}: {sides[0].get(name, '-')} | {sides[1].get(name, '-')}", markup=False, highlight=False)
    if not names:
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
    known, active = _activations(database), registry_at(artifacts).active()
    # One that was activated and is not taken over yet never served.
    before = None if not known else known[-1].before if known[-1].version == active else known[-1].version
    if before is None:
        raise InvalidInput("nothing served before: name the version, 'counterfoil models activate VERSION'")
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
    from models.scorer import Scorer

    registry = registry_at(artifacts)
    damaged = False
    for name in [version] if version else registry.versions():
        try:
            Scorer.load(registry.folder(name))
        except InvalidBundle as error:
            damaged = True
            err.print(f"{name}: {error}", markup=False)
        else:
            out.print(f"{name}: verified")
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


def _activations(database: str | None) -> Sequence[Activation]:
    from app.store.open import open_store

    with closing(open_store(settings_with({"database_url": database}).database_url, read_only=True)) as store:
        return store.activations()


def _facts(manifest: Any, name: str = "") -> list[tuple[str, str]]:
    """The manifest's values as (path, text); of long lists only how long they are."""
    if isinstance(manifest, dict):
        return [
            fact
            for key, value in manifest.items()
            if key not in ("calibration", "policy_inputs", "reference")
            for fact in _facts(value, f"{name}.{key}" if name else key)
        ]
    if isinstance(manifest, list) and len(manifest) > 8:
        return [(name, f"{len(manifest):,} values")]
    return [(name, str(manifest))]
