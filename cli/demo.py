"""A console with something in it: ``counterfoil demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.console import advance, out, progress
from cli.opening import open_scorer, settings_with
from cli.options import ArtifactsOption, DatabaseOption


def demo(
    data: Annotated[
        Path, typer.Argument(help="Payments that 'counterfoil simulate --hold-out' wrote.", show_default=False)
    ],
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Score a week of simulated payments into an empty store, to see the console with alerts in its queue.

    The alerts of the first days are decided as the file's labels have it, by somebody called demo; the rest waits.

    Example: counterfoil demo artifacts/simulated/week.csv --database sqlite:///demo.db
    """
    from app.console.demo import record_demo

    settings = settings_with({"artifacts": artifacts, "database_url": database})
    scorer = open_scorer(None, artifacts)
    with progress() as bars:
        done = record_demo(settings, scorer, data, advance(bars, bars.add_task("scoring", total=None)))
    out.print(f"{done.waiting:,} alerts wait in the queue; {done.decided:,} of the days before are decided")
