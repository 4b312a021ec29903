"""The first lines of the report: what the version catches and what that costs, in words anyone reads."""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.report import format
from training.report.bootstrap import Estimate
from training.report.clock import length
from training.report.cost import CostTerms
from training.report.detection import Detection


@dataclass(frozen=True)
class Tile:
    """One large figure: the figure, what it is, its interval (or an empty string), what it comes from."""

    figure: str
    what: str
    interval: str
    note: str


def sentence(found: Detection, threshold: float, where: str) -> str:
    """The headline.

    Args:
        found: the figures.
        threshold: the score at and above which a transaction is an alert.
        where: the part in words, e.g. ``the test period``.
    """
    start = f"At the threshold {format.score(threshold)}"
    volume = f"{format.figure(found.volume.value)} alerts per {found.unit}"
    if found.unit == "day":
        volume = f"{format.figure(found.volume.value)} alerts a day"
    if not found.alerts:
        lost = f"; {format.plural(found.fraud, 'fraud went', 'frauds went')} unnoticed" if found.fraud else ""
        return f"{start}, no transaction of {where} raised an alert{lost}."
    if not found.labelled:
        return f"{start}, {where} had {volume}. Without labels nothing can be said about the fraud among them."
    if not found.fraud:
        return f"{start}, {where} had {volume}. Without labelled fraud nothing can be said about what is caught."
    start += ","
    caught = f"{format.count(found.caught)} of {format.plural(found.fraud, 'fraud')} in {where} were alerted"
    if not found.precision:
        return f"{start} {caught}, with {volume}."
    if not found.precision.value:
        return f"{start} {caught}, with {volume}; none of the alerts is fraud."
    return f"{start} {caught}, with {volume}; one in {1 / found.precision.value:,.1f} alerts is fraud."


def tiles(found: Detection, terms: CostTerms | None, currency: str) -> list[Tile]:
    """The figures of the headline and their neighbours, each with its interval."""
    shown = []
    if found.recall:
        note = f"{format.count(found.caught)} of {format.plural(found.fraud, 'fraud')}"
        shown.append(_percent(found.recall, "of fraud alerted (recall)", note))
    per = "alerts a day" if found.unit == "day" else f"alerts per {found.unit}"
    over = length(found.units * found.each) if found.unit == "day" else format.plural(found.rows, "transaction")
    note = f"{format.plural(found.alerts, 'alert')} in {over}"
    shown.append(Tile(format.figure(found.volume.value), per, format.interval(found.volume, "figure"), note))
    if found.precision and found.alerts_known:
        shown.append(_one_in(found.precision, found))
    if found.amount_share and found.amount is not None:
        note = f"{format.money(found.amount_caught, currency)} of {format.money(found.amount, currency)}"
        shown.append(_percent(found.amount_share, "of the fraud amount alerted", note))
    if found.cost and terms:
        unit = "a day" if found.unit == "day" else f"per {found.unit}"
        shown.append(
            Tile(
                format.money(found.cost.value, currency),
                f"{unit} for reviews and missed fraud",
                format.interval(found.cost, "figure"),
                f"{format.money(terms.review, currency)} a review{', assumed' if terms.assumed else ''}",
            )
        )
    if not found.recall:
        shown.append(
            _percent(found.alert_rate, "of all transactions alerted", format.plural(found.rows, "transaction"))
        )
    return shown


def prevalence(found: Detection) -> str:
    """How rare fraud is in the part, and how much more frequent it is among alerts."""
    if not found.prevalence or not found.fraud:
        return ""
    text = (
        f"Fraud is {format.one_in(found.prevalence.value)} transactions here "
        f"({format.percent(found.prevalence.value)}, {format.interval(found.prevalence, 'percent')}): "
        f"the share in the data as they were handed in."
    )
    if found.precision and found.precision.value:
        lift = found.precision.value / found.prevalence.value
        text += f" An alert is {format.figure(lift)} times as often fraud as a transaction picked at random."
    return text


def _percent(estimate: Estimate, what: str, note: str) -> Tile:
    return Tile(format.percent(estimate.value), what, format.interval(estimate, "percent"), note)


def _one_in(precision: Estimate, found: Detection) -> Tile:
    note = f"{format.count(found.caught)} of {format.plural(found.alerts_known, 'alert')}"
    if found.alerts_known < found.alerts:
        note += " with a known label"
    odds = precision.map(lambda share: 1 / share if share > 0 else math.inf)
    if not precision.value:
        reach = "" if odds.low is None else f"at best 1 in {odds.low:,.1f}"
        return Tile("none", "of the alerts is fraud", reach, note)
    end = ""
    if odds.low is not None and odds.high is not None:
        end = f"{odds.low:,.1f} to {odds.high:,.1f}" if math.isfinite(odds.high) else f"{odds.low:,.1f} or more"
    return Tile(
        f"1 in {odds.value:,.1f}",
        "alerts is fraud",
        end,
        f"{format.percent(precision.value)} precision: {note}",
    )
