"""``counterfoil drift``: whether the alerts a day are still what was promised."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from typing import Annotated

import typer

from cli.console import EXIT_REJECTED, out
from cli.opening import open_scorer, settings_with
from cli.options import ArtifactsOption, DatabaseOption, ModelOption


def drift(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    model: ModelOption = None,
    database: DatabaseOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Compare the alerts a day of the active version with what it promised, and say which features make a difference.

    May run beside the service, and daily: without drift it alarms once in ten years or more rarely. Exit code 1 for an
    alarm, or where a feature is gone.

    Example: counterfoil drift, or: counterfoil drift --json
    """
    from app.drift.days import Days
    from app.drift.reply import drift_reply
    from app.store.open import open_store
    from models.registry import Registry

    settings = settings_with({"artifacts": artifacts, "database_url": database})
    scorer = open_scorer(model, artifacts)
    days = Days.of(scorer.manifest, Registry(settings.artifacts))
    with closing(open_store(settings.database_url, read_only=True)) as store:
        days.read(store)
    reply = drift_reply(scorer, days)
    if as_json:
        print(json.dumps(asdict(reply)))
    else:
        out.print(reply.text)
        for one in reply.features:
            out.print(f"  {one.alerts_per_day:+8.1f} a day  {one.feature}")
        out.print(
            f"  evidence over {reply.days} days: {reply.evidence_above:,.1f} for more alerts than promised, ", end=""
        )
        out.print(f"{reply.evidence_below:,.1f} for fewer; 3,650 is an alarm")
    if reply.alarm or reply.gone:
        raise typer.Exit(EXIT_REJECTED)
