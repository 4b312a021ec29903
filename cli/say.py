"""How a model and its figures read on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.console import EXIT_REJECTED, err, out

if TYPE_CHECKING:
    from models.manifest import Manifest, Metrics
    from training.guess import GuessedProfile

_SAID_AS = {"label_timestamp": "known since"}
_FAR_OFF = 2  # times outside the promised interval before training warns
_MOST_SHOWN = 12
_USELESS = 10  # times before a version is not activated by itself
_FEWEST_EXPECTED = 30  # alerts that the test part must have promised before too few of them mean anything
_COVERED = {"hour": "a whole day", "weekday": "all seven days of the week"}


def say_guess(guess: GuessedProfile) -> None:
    """What was guessed of a table's columns; what matters most comes last, where it is read."""
    kinds: dict[str, list[str]] = {}
    for name, column in guess.schema.columns.items():
        if column.kind != "ignore":
            read = column.fields(name)
            source = "" if read == (name,) else f" ({' + '.join(read) or 'of the amount'})"
            kinds.setdefault(column.kind, []).append(f"{name}{source}")
    for kind, names in kinds.items():
        out.print(f"  {_SAID_AS.get(kind, kind):<12}{_some(names)}")
    for one in guess.left_out[:_MOST_SHOWN]:
        out.print(f"  left out    {one.name or '(blank)'}: {one.reason}")
    if len(guess.left_out) > _MOST_SHOWN:
        out.print(f"  left out    … ({len(guess.left_out)} in all)")
    for warning in guess.warnings:
        out.print(f"  {warning}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:_MOST_SHOWN]) + (f", … ({len(names)} in all)" if len(names) > _MOST_SHOWN else "")


def say_trained(manifest: Manifest, folder: Path | None, cycles: tuple[str, ...]) -> None:
    """A version just trained: data, network, threshold, figures.

    Args:
        folder: of the version; None where it is not published.
        cycles: of the profile; the version lacks those that its training rows do not cover.
    """
    shape, training = manifest.architecture, manifest.training
    out.print(f"Model version {manifest.version}")
    period = f", {training.train.start} to {training.train.end}" if training.train.start else ""
    out.print(f"  trained on   {training.train.rows - training.train.fraud:,} transactions{period}")
    for cause, rows in training.left_out.items():
        out.print(f"  left out     {rows:,}: {cause}")
    for cycle in (cycle for cycle in cycles if cycle not in manifest.transaction_schema.cycles):
        out.print(f"  left out     the {cycle}: the training rows do not cover {_COVERED[cycle]}")
    out.print(
        f"  network      {shape.members} × {shape.inputs}-{'-'.join(map(str, shape.hidden))}-{shape.code_size} "
        f"({shape.architecture}), {shape.steps:,} steps"
    )
    if (second := manifest.second_opinion) is not None:
        out.print(f"  labels       {'used' if second.used else 'NOT used'}: {second.why}")
        if second.used:
            out.print(
                f"               {second.novel_share:.0%} of the alerts on legitimate transactions are for what is "
                f"unusual, {1 - second.novel_share:.0%} for what looks like known fraud"
            )
    say_threshold(manifest)
    say_metrics(manifest.metrics)
    if (off := _off(manifest, _FAR_OFF)) is not None:
        out.print(
            f"  WARNING      {off:.2%} of the legitimate test rows alert, {manifest.threshold.alert_rate:.2%} were "
            "promised: the test part is not like what came before. Traffic may have changed, the history may be too "
            "short for the windows of [entity], or a feature may only ever rise"
        )
    if folder is not None:
        out.print(f"  report       {folder / 'report.html'}")


def why_not_activated(manifest: Manifest) -> str | None:
    """Why a version just trained should not serve: its alert rate is an order of magnitude off. None where it may."""
    off = _off(manifest, _USELESS)
    if off is None:
        return None
    return f"{off:.2%} of the legitimate test rows alert where {manifest.threshold.alert_rate:.2%} were promised"


def _off(manifest: Manifest, times: float) -> float | None:
    """The test part's alert rate where it is outside the promised interval by so many times; else None."""
    metrics, promised = manifest.metrics, manifest.threshold
    seen = metrics.alert_rate if metrics.alert_rate_legitimate is None else metrics.alert_rate_legitimate
    if seen is None:
        return None
    too_few = seen < promised.alert_rate_low / times
    if too_few and times > _FAR_OFF and metrics.rows * promised.alert_rate < _FEWEST_EXPECTED:
        return None
    return seen if too_few or seen > promised.alert_rate_high * times else None


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
