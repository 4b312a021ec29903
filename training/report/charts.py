"""The charts of detection: error by class, precision and recall, ROC; and the course of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from models.calibration import Calibration
from models.rows import FRAUD, LEGITIMATE
from models.thresholds import Threshold
from training.report import canvas as c
from training.report import format
from training.report.curves import Curve
from training.report.detection import Detection
from training.report.part import ScoredPart

if TYPE_CHECKING:
    from training.optimise import FitProgress

_BINS = 70


@dataclass(frozen=True)
class Chart:
    """A drawing with its heading and what to see in it, in one sentence or two."""

    title: str
    svg: str
    caption: str


def loss(history: Sequence[FitProgress]) -> Chart:
    """Training and held-in loss per step."""
    step = np.array([point.step for point in history])
    training = np.array([point.loss for point in history])
    held_in = np.array([point.held_in_loss for point in history])
    figure, axes = c.canvas("training step", "loss per input and transaction")
    axes.plot(step, training, color=c.BLUE, marker="o", markersize=3)
    axes.plot(step, held_in, color=c.VERMILLION, linestyle="--", marker="s", markersize=3)
    both = np.concatenate([training, held_in])
    if both.min() > 0 and both.max() > 20 * both.min():
        c.log_scale(axes, "y", float(both.max() / both.min()))
    axes.set_xlim(0, step[-1] * 1.2)
    axes.set_xticks([tick for tick in MaxNLocator(6, integer=True).tick_values(0, float(step[-1])) if tick <= step[-1]])
    axes.margins(y=0.12)
    above = training[-1] > held_in[-1]
    c.label(axes, "training", step[-1], training[-1], c.ABOVE_RIGHT if above else c.BELOW_RIGHT, c.BLUE)
    c.label(axes, "held-in", step[-1], held_in[-1], c.BELOW_RIGHT if above else c.ABOVE_RIGHT, c.VERMILLION)
    best = int(np.argmin(held_in))
    axes.plot(step[best], held_in[best], marker="o", markersize=12, markerfacecolor="none", color=c.INK)
    caption = (
        f"The network kept is that of step {step[best]:,}, where the loss on held-in rows (not trained on) was lowest: "
        f"{held_in[best]:.3g} (ring). Training is measured with noise added to its inputs, so it can lie higher."
    )
    return Chart("Course of training", c.svg(figure, "loss", caption), caption)


def errors(part: ScoredPart, threshold: Threshold, calibration: Calibration, found: Detection, what: str) -> Chart:
    """Distribution by class of ``what`` the score is the rank of, on a log axis."""
    error = np.maximum(part.scores.evidence, np.finfo(np.float64).tiny)
    label = part.history.label
    groups = [("legitimate", label == LEGITIMATE, c.BLUE, "-"), ("fraud", label == FRAUD, c.VERMILLION, "--")]
    if not found.labelled:
        groups = [("all transactions", np.ones(len(part), dtype=bool), c.BLUE, "-")]
    declined = None if threshold.decline is None else calibration.to_error(threshold.decline)
    positive = part.scores.evidence[part.scores.evidence > 0]
    low = float(np.quantile(positive, 0.0005)) if len(positive) else threshold.error / 10
    edges = np.geomspace(
        min(low, threshold.error) / 1.2,
        max(float(error.max()), declined or 0.0, threshold.error) * 1.2,
        _BINS + 1,
    )
    figure, axes = c.canvas(f"{what} (log scale)", "share of the class" if found.labelled else "share of transactions")
    c.log_scale(axes, "x", float(edges[-1] / edges[0]))
    c.percents(axes.yaxis)
    tops = []
    for name, rows, colour, style in groups:
        if not rows.any():
            continue
        heights = np.histogram(np.clip(error[rows], edges[0], None), edges)[0] / rows.sum()
        axes.stairs(heights, edges, color=colour, linestyle=style, linewidth=1.8)
        if style == "-":
            axes.stairs(heights, edges, color=colour, fill=True, alpha=0.18)
        top = int(np.argmax(heights))
        tops.append((name, float(np.sqrt(edges[top] * edges[top + 1])), float(heights[top]), colour))
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, max(top[2] for top in tops) * 1.45)
    for name, x, y, colour in tops:
        c.label(axes, name, x, y, c.ABOVE, colour)
    c.upright(axes, threshold.error, f"threshold {format.figure(threshold.error)}:\nalerts to the right", 0.94)
    if declined is not None:
        c.upright(axes, declined, "decline", 0.83, style="-.")
    caption = f"How transactions spread over the {what}. "
    if len(tops) > 1:
        caption = f"How each class spreads over the {what}; both curves have the same area. "
    if found.recall and found.legitimate_rate:
        caption += (
            f"Right of the line lie {format.percent(found.recall.value)} of fraud and "
            f"{format.percent(found.legitimate_rate.value)} of legitimate transactions."
        )
    else:
        caption += f"Right of the line lie {format.percent(found.alert_rate.value)} of all transactions."
    return Chart("How unusual transactions are", c.svg(figure, "errors", caption), caption)


def precision_recall(curve: Curve, found: Detection) -> Chart:
    """Precision against recall with the operating point."""
    held = curve.caught + curve.false > 0
    figure, axes = c.canvas("recall: share of fraud alerted", "precision: share of alerts that are fraud")
    recall, precision = (
        curve.caught[held] / found.fraud,
        curve.caught[held] / (curve.caught + curve.false)[held],
    )
    axes.plot(recall, precision, color=c.BLUE)
    _unit_square(axes)
    assert found.prevalence is not None
    axes.axhline(found.prevalence.value, color=c.FAINT, linestyle=":")
    c.label(
        axes,
        f"random order: {format.percent(found.prevalence.value)}",
        0,
        found.prevalence.value,
        (3, 4, "left", "bottom"),
        c.FAINT,
    )
    caption = "The higher and further right, the better."
    if found.recall and found.precision:
        c.operating_point(axes, found.recall.value, found.precision.value, "threshold", rising=False)
        caption += (
            f" At the threshold (diamond) {format.percent(found.recall.value)} of fraud is alerted and "
            f"{format.percent(found.precision.value)} of alerts are fraud."
        )
    if found.average_precision:
        caption += f" The area under the line is the average precision, {format.ratio(found.average_precision.value)}."
    return Chart("Precision and recall", c.svg(figure, "precision-recall", caption), caption)


def roc(curve: Curve, found: Detection) -> Chart:
    """Recall against the alert rate of legitimate rows with the operating point."""
    figure, axes = c.canvas("share of legitimate transactions alerted", "recall: share of fraud alerted")
    x = np.concatenate([[0], curve.false / found.legitimate])
    y = np.concatenate([[0], curve.caught / found.fraud])
    axes.plot(x, y, color=c.BLUE)
    axes.plot([0, 1], [0, 1], color=c.FAINT, linestyle=":")
    _unit_square(axes)
    c.label(axes, "random order", 0.72, 0.72, c.BELOW_RIGHT, c.FAINT)
    caption = "The closer to the upper left corner, the better."
    if found.recall and found.legitimate_rate:
        c.operating_point(axes, found.legitimate_rate.value, found.recall.value, "threshold")
        caption += (
            f" At the threshold (diamond) {format.percent(found.recall.value)} of fraud and "
            f"{format.percent(found.legitimate_rate.value)} of legitimate transactions are alerted."
        )
    if found.roc_auc:
        caption += f" The area under the line (ROC AUC) is {format.ratio(found.roc_auc.value)}."
    return Chart("ROC curve", c.svg(figure, "roc", caption), caption)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    c.percents(axes.xaxis, axes.yaxis)
