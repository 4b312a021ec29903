"""The charts for choosing a threshold: alerts against fraud caught, and what a threshold costs."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from models.thresholds import Threshold
from training.report import canvas as c
from training.report import format
from training.report.charts import Chart
from training.report.cost import CostCurve
from training.report.curves import Curve
from training.report.detection import Detection


def workload(curve: Curve, found: Detection) -> Chart:
    """Recall against alerts per day (or per 1,000 transactions)."""
    figure, axes = c.canvas(f"alerts per {found.unit} (log scale)", "recall: share of fraud alerted")
    volume, recall = curve.alerts / found.units, curve.caught / found.fraud
    c.log_scale(axes, "x", float(volume[-1] / volume[0]))
    c.percents(axes.yaxis)
    axes.plot(volume, recall, color=c.BLUE)
    axes.set_ylim(0, 1.02)
    axes.set_xlim(volume[0], max(volume[-1], volume[0] * 10))
    caption = f"More alerts per {found.unit} catch more fraud, with less and less gain the further right."
    if found.alerts and found.recall:
        text = f"threshold: {format.figure(found.volume.value)} per {found.unit}"
        c.operating_point(axes, found.volume.value, found.recall.value, text)
        caption += (
            f" Today's threshold (diamond) costs {format.figure(found.volume.value)} alerts per {found.unit} "
            f"and catches {format.percent(found.recall.value)} of fraud."
        )
    return Chart("Alerts against fraud caught", c.svg(figure, "workload", caption), caption)


def cost(costs: CostCurve, threshold: Threshold, unit: str, now: float) -> Chart:
    """Cost of reviews and missed fraud against the threshold."""
    figure, axes = c.canvas("threshold: legitimate transactions alerted (stricter to the right)", f"cost per {unit}")
    total = costs.reviews + costs.missed
    ceiling = 1.5 * max(costs.nothing, now, float(total[costs.best]))
    x = -np.log10(1 - costs.threshold)
    here = float(-np.log10(1 - threshold.score))
    shown = np.flatnonzero(total <= ceiling)
    left = float(min(x[shown].min(initial=here), here))
    right = float(max(x.max(), here))
    axes.set_xlim(left - 0.03 * (right - left + 1), right + 0.3 * (right - left + 1))
    axes.set_ylim(0, ceiling)
    for y, name, colour, style in (
        (total, "total", c.INK, "-"),
        (costs.reviews, "reviews", c.BLUE, "--"),
        (costs.missed, "missed fraud", c.VERMILLION, "-."),
    ):
        axes.plot(x, y, color=colour, linestyle=style)
        place = {"total": c.ABOVE_RIGHT, "reviews": c.ABOVE_RIGHT, "missed fraud": c.BELOW_RIGHT}[name]
        c.label(axes, name, float(x[0]), float(y[0]), place, colour)
    axes.plot(
        x[costs.best],
        total[costs.best],
        marker="^",
        markersize=9,
        color=c.GREEN,
        markeredgecolor=c.INK,
        zorder=6,
    )
    axes.xaxis.set_major_locator(FixedLocator(_decades(left, right)))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda power, _: f"1 in {10**power:,.0f}" if power < 6 else f"1 in 10^{power:.0f}")
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: format.figure(value) if value < 100 else format.count(value))
    )
    c.upright(axes, here, f"threshold {format.score(threshold.score)}", 0.95)
    caption = (
        "The solid line is the sum of the two others. The triangle is its lowest point in these data: it is known only "
        "afterwards and is not a reason to move the threshold there."
    )
    return Chart("What a threshold costs", c.svg(figure, "cost", caption), caption)


def _decades(left: float, right: float) -> list[float]:
    first, last = int(np.ceil(left - 0.05)), int(np.floor(right + 0.05))
    every = max(1, -(-(last - first + 1) // 6))
    return [float(power) for power in range(first, last + 1, every)] or [left]
