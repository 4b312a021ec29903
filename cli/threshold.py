"""``counterfoil threshold``: another threshold without retraining."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import out
from cli.opening import activate_and_say, registry_at
from cli.options import (
    AlertRateOption,
    AlertsPerDayOption,
    ArtifactsOption,
    DeclineAlertRateOption,
    DeclineMinPrecisionOption,
    MaxCostOption,
    MinPrecisionOption,
    MinRecallOption,
    MissedFraudOption,
    ModelOption,
)
from cli.policies import chosen_policy, decline_policy
from cli.say import say_threshold
from models.errors import InvalidInput

if TYPE_CHECKING:
    from models.manifest import Manifest


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
    from app.settings import load_settings
    from models.rethreshold import rethreshold

    policy = chosen_policy(alert_rate, alerts_per_day, min_precision, min_recall, max_cost, missed_fraud)
    decline = decline_policy(decline_alert_rate, decline_min_precision)
    if policy is None and decline is None:
        raise InvalidInput("name a policy, e.g. --alerts-per-day 80; 'counterfoil threshold --help' lists them")
    registry = registry_at(artifacts)
    folder = registry.resolve(model or load_settings().model)
    manifest, published = rethreshold(folder, registry, policy, decline=decline)
    activate_and_say(registry, manifest.version, activate, partial(_say, manifest, folder.name, published))


def _say(manifest: Manifest, origin: str, folder: Path) -> None:
    out.print(f"Model version {manifest.version}, from {origin}")
    say_threshold(manifest)
    out.print(f"  report       {folder / 'report.html'}")
