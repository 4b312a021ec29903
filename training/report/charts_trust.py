"""The charts of trust: promised against seen alert rate, uniform score, stability through time."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import FuncFormatter

from models.calibration import Calibration
from models.threshold_choice import alert_rate_interval
from models.thresholds import Threshold
from training.report import canvas as c
from training.report import format
from training.report.charts import Chart
from training.report.trust import Stability, Trust

_BAND_POINTS = 40


def alert_rates(trust: Trust, threshold: Threshold, calibration: Calibration) -> Chart:
    """Alert rate seen against promised, at every threshold."""
    figure, axes = c.canvas("alert rate promised by the threshold", "alert rate seen")
    low = min(1 / trust.rows, 1 / calibration.rows, threshold.alert_rate) / 2
    for which in "xy":
        c.log_scale(axes, which, 1 / low, percent=True)
    axes.set_xlim(low, 1)
    axes.set_ylim(low, 1)
    promised = np.geomspace(low, 1 - 1e-9, _BAND_POINTS)
    band = np.array([alert_rate_interval(1 - rate, calibration.rows) for rate in promised])
    axes.fill_between(
        promised,
        np.maximum(band[:, 0], low),
        np.maximum(band[:, 1], low),
        color=c.SKY,
        alpha=0.35,
        linewidth=0,
    )
    axes.plot([low, 1], [low, 1], color=c.FAINT, linestyle=":")
    held = (trust.rate_promised >= low) & (trust.rate_seen >= low)
    axes.plot(trust.rate_promised[held], trust.rate_seen[held], color=c.BLUE)
    seen = max(trust.seen.value, low)
    if trust.seen.low is not None and trust.seen.high is not None:
        axes.plot(
            [threshold.alert_rate] * 2,
            [max(trust.seen.low, low), max(trust.seen.high, low)],
            color=c.INK,
            linewidth=1.3,
        )
    c.operating_point(axes, threshold.alert_rate, seen, "threshold")
    middle = float(np.sqrt(low))
    c.label(axes, "as promised", middle, middle, c.BELOW_RIGHT, c.FAINT)
    who = "transactions" if trust.all_rows else "legitimate transactions"
    caption = (
        f"On the dotted line {who} alert exactly as often as promised; the band is the promised interval. "
        f"At the threshold (diamond): promised {format.percent(threshold.alert_rate)}, "
        f"seen {format.percent(trust.seen.value)}."
    )
    return Chart("Alert rate: promised and seen", c.svg(figure, "alert-rates", caption), caption)


def quantiles(trust: Trust) -> Chart:
    """Quantiles of the score against those of the uniform distribution."""
    figure, axes = c.canvas("share of transactions with a lower score", "score")
    axes.plot([0, 1], [0, 1], color=c.FAINT, linestyle=":")
    axes.plot(trust.quantile_expected, trust.quantile_seen, color=c.BLUE)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    c.percents(axes.xaxis)
    c.label(axes, "uniform", 0.75, 0.75, c.BELOW_RIGHT, c.FAINT)
    who = "all transactions" if trust.all_rows else "legitimate transactions"
    caption = (
        f"If nothing has changed since training, the score of {who} is uniform and follows the dotted line; above it, "
        f"they look more unusual than then. Largest distance (Kolmogorov–Smirnov): {trust.distance:.3f}."
    )
    return Chart(
        "Score of legitimate transactions" if not trust.all_rows else "Score of all transactions",
        c.svg(figure, "quantiles", caption),
        caption,
    )


def rate_by_period(stability: Stability, threshold: Threshold) -> Chart:
    """Alert rate per week, day or hour."""
    unit = stability.periods.unit
    figure, axes = c.canvas(f"{unit} (UTC)" if unit != "hour" else "hour", "alert rate")
    at = stability.periods.offset
    axes.axhspan(threshold.alert_rate_low, threshold.alert_rate_high, color=c.SKY, alpha=0.35, linewidth=0)
    axes.axhline(threshold.alert_rate, color=c.FAINT, linestyle=":")
    spread = np.maximum([stability.rate - stability.low, stability.high - stability.rate], 0)
    full = stability.rows >= 0.2 * np.median(stability.rows)
    for rows, fill in ((full, c.BLUE), (~full, "white")):
        axes.errorbar(
            at[rows],
            stability.rate[rows],
            spread[:, rows],
            color=c.BLUE,
            markerfacecolor=fill,
            fmt="o",
            markersize=6,
            linewidth=1.2,
            capsize=2,
        )
    top = max(float(stability.high[full].max()), threshold.alert_rate_high) * 1.1
    axes.set_ylim(0, top)
    axes.set_xlim(at[0] - 0.5, max(at[-1] + 0.5, at[0] + 0.9))
    c.label(
        axes,
        "promised",
        float(axes.get_xlim()[1]),
        threshold.alert_rate_high,
        (-3, 2, "right", "bottom"),
        c.FAINT,
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    c.spread_ticks(axes, list(at), list(stability.periods.names), 4 if unit == "hour" else 6)
    caption = (
        f"Alert rate of legitimate transactions per {unit} with its 95 % interval; the band is the promised interval. "
        f"It ranges from {format.percent(float(stability.rate[full].min()))} "
        f"to {format.percent(float(stability.rate[full].max()))}."
    )
    if not full.all():
        caption += f" A hollow point is a {unit} with few transactions"
        caption += ", partly above the chart." if (stability.high[~full] > top).any() else "."
    return Chart(f"Alert rate by {unit}", c.svg(figure, "rate-by-period", caption), caption)


def score_by_period(stability: Stability) -> Chart:
    """Median and middle half of the score per week, day or hour."""
    unit = stability.periods.unit
    figure, axes = c.canvas(f"{unit} (UTC)" if unit != "hour" else "hour", "score")
    at = stability.periods.offset
    for level in (0.25, 0.5, 0.75):
        axes.axhline(level, color=c.FAINT, linestyle=":", linewidth=1.2)
    axes.vlines(at, stability.quartiles[:, 0], stability.quartiles[:, 2], color=c.SKY, linewidth=5, alpha=0.8)
    axes.plot(at, stability.quartiles[:, 1], color=c.BLUE, marker="o", markersize=5, linewidth=1.2)
    axes.set_ylim(0, 1)
    axes.set_xlim(at[0] - 0.5, max(at[-1] + 0.5, at[0] + 0.9))
    c.label(axes, "median", at[-1], float(stability.quartiles[-1, 1]), c.ABOVE, c.BLUE)
    c.spread_ticks(axes, list(at), list(stability.periods.names), 4 if unit == "hour" else 6)
    medians = stability.quartiles[:, 1]
    caption = (
        f"Median score of legitimate transactions per {unit}, and the middle half of them as bars; at 0.25, 0.5 "
        f"and 0.75 (dotted) where nothing has changed since training. The median ranges from {medians.min():.2f} "
        f"to {medians.max():.2f}."
    )
    return Chart(f"Score by {unit}", c.svg(figure, "score-by-period", caption), caption)
