"""Options that several commands share, and the choices they offer."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer


class OnError(enum.StrEnum):
    stop = "stop"
    reject = "reject"


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

EntityOption = Annotated[
    str | None, typer.Option("--entity", help="Of this one: a section of the profile and its id, e.g. merchant=m-17.")
]
CardOption = Annotated[str | None, typer.Option("--card", help="Short for --entity card=ID.")]
