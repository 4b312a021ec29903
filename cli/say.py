"""How a model and its figures read on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.console import EXIT_REJECTED, err, out

if TYPE_CHECKING:
    from models.manifest import Manifest, Metrics

_FAR_OFF = 2  # times outside the promised interval before training warns


def say_guess(notes: tuple[str, ...], left_out: tuple[str, ...]) -> None:
    """What was guessed of a table's columns."""
    kinds: dict[str, list[str]] = {}
    for note in notes:
        name, kind = note.rsplit(": ", 1)
        kinds.setdefault(kind, []).append(name)
    for kind, names in kinds.items():
        shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
        out.print(f"  {kind:<12}{shown}")
    for note in left_out:
        out.print(f"  left out    {note}")


def say_trained(manifest: Manifest, folder: Path) -> None:
    """A version just trained: data, network, threshold, figures."""
    shape, training = manifest.architecture, manifest.training
    out.print(f"Model version {manifest.version}")
    period = f", {training.train.start} to {training.train.end}" if training.train.start else ""
    out.print(f"  trained on   {training.train.rows - training.train.fraud:,} transactions{period}")
    for cause, rows in training.left_out.items():
        out.print(f"  left out     {rows:,}: {cause}")
    out.print(
        f"  network      {shape.members} × {shape.inputs}-{'-'.join(map(str, shape.hidden))}-{shape.code_size} "
        f"({shape.architecture}), {shape.steps:,} steps"
    )
    say_threshold(manifest)
    say_metrics(manifest.metrics)
    seen, promised = manifest.metrics.alert_rate_legitimate, manifest.threshold
    if seen is not None and not promised.alert_rate_low / _FAR_OFF <= seen <= promised.alert_rate_high * _FAR_OFF:
        out.print(
            f"  WARNING      {seen:.2%} of the legitimate test rows alert, {promised.alert_rate:.2%} were promised: "
            "traffic has changed since the calibration part, or the rows are not in time order"
        )
    out.print(f"  report       {folder / 'report.html'}")


def say_threshold(manifest: Manifest) -> None:
    """Where alerts begin, and how many to expect."""
    threshold = manifest.threshold
    out.print(
        f"  threshold    {score_text(threshold.score)} ({threshold.policy.name} {threshold.policy.value:g}): "
        f"{threshold.alert_rate:.2%} of legitimate transactions alert "
        f"({threshold.alert_rate_low:.2%} to {threshold.alert_rate_high:.2%})"
    )
    if threshold.decline is not None and threshold.decline_policy is not None:
        policy = threshold.decline_policy
        out.print(f"  decline from {score_text(threshold.decline)} ({policy.name} {policy.value:g})")


def say_metrics(metrics: Metrics) -> None:
    """What was measured, on which rows."""
    out.print(
        f"  measured on  {metrics.part}: {metrics.rows:,} rows"
        + ("" if metrics.fraud is None else f", {metrics.fraud:,} fraud ({metrics.prevalence:.3%})")
    )
    if metrics.fraud is not None and metrics.roc_auc is None:
        out.print("               only one class present: ranking cannot be measured")
    if metrics.roc_auc is not None:
        out.print(f"  ROC AUC      {figure(metrics.roc_auc)}")
        out.print(f"  average precision {figure(metrics.average_precision)}")
        out.print(f"  at threshold precision {figure(metrics.precision)}, recall {figure(metrics.recall)}")
    if metrics.alert_rate is not None:
        out.print(f"  alert rate   {metrics.alert_rate:.2%}")


def score_text(value: float) -> str:
    """A score or threshold: four digits, more where they are all nines."""
    return f"{value:.4f}" if value < 0.9999 else f"{value:.9g}"


def figure(value: float | None) -> str:
    """A measured share, or a dash."""
    return "–" if value is None else f"{value:.3f}"


def say_rejected(rejected: int, rejects: Path | None) -> None:
    """Rows that were rejected, and where they are listed; ends the command with its exit code."""
    if rejected:
        err.print(f"{rejected:,} rows rejected: see {rejects}", markup=False)
        raise typer.Exit(EXIT_REJECTED)
