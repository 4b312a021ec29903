"""Model versions: ``counterfoil models``, ``activate``."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.console import out, tables
from cli.opening import operator, registry_at
from cli.options import ArtifactsOption
from cli.say import figure, score_text
from models.errors import InvalidBundle


def models(artifacts: ArtifactsOption = None) -> None:
    """List the model versions, the active one marked.

    Example: counterfoil models --artifacts artifacts
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


def activate(
    version: Annotated[str, typer.Argument(help="As 'counterfoil models' lists it.", show_default=False)],
    artifacts: ArtifactsOption = None,
) -> None:
    """Make a version the one that serves; also the way to roll back. A running service takes it over.

    Example: counterfoil activate 20260131T081500Z-1a2b3c4d
    """
    registry = registry_at(artifacts)
    before = registry.active()
    registry.activate(version, by=operator())
    out.print(f"Active: {version}" + (f" (before: {before})" if before and before != version else ""))
