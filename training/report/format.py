"""Numbers and data-derived text as a reader wants them."""

from __future__ import annotations

import math

from models.pan import contains_card_number
from models.thresholds import Policy
from training.report.bootstrap import Estimate

NBSP = "\u00a0"
WITHHELD = "(withheld: looks like a card number)"


def count(value: float) -> str:
    """A whole number with thousands separators."""
    return f"{value:,.0f}"


def figure(value: float) -> str:
    """A quantity with about three digits: 1,234 · 56.7 · 0.0123."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "∞"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}" if abs(value) >= 1e-4 else f"{value:.2g}"


def percent(value: float) -> str:
    """A share as a percentage; 0 % and 100 % are exact."""
    return f"{_percent(value)}{NBSP}%"


def _percent(share: float) -> str:
    value = 100 * share
    if value in (0.0, 100.0):
        return f"{value:.0f}"
    if 0 < value < 0.001:
        return "<0.001"
    if 99.95 <= value < 100:
        return ">99.9"
    return f"{value:.{1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}"


def whole_percent(value: float) -> str:
    """A level such as 0.95 as "95 %"."""
    return f"{100 * value:g}{NBSP}%"


def ratio(value: float) -> str:
    """A metric in [0, 1] with three decimals."""
    return f"{value:.3f}"


def score(value: float) -> str:
    """A score with as many digits as tell it from 1."""
    digits = max(2, math.ceil(-math.log10(max(1 - value, 1e-17))) + 1)
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits <= 9 else ">0.99999999"


def one_in(value: float) -> str:
    """A share as "1 in N"."""
    if value <= 0:
        return "none"
    return f"1 in {1 / value:,.0f}" if value < 0.1 else f"1 in {1 / value:,.1f}"


def interval(estimate: Estimate, show: str) -> str:
    """The interval alone, e.g. "63.1 to 68.0 %"; empty where there is none.

    Args:
        show: ``percent``, ``ratio``, ``count`` or ``figure``.
    """
    if estimate.low is None or estimate.high is None:
        return ""
    if show == "percent":
        return f"{_percent(estimate.low)} to {_percent(estimate.high)}{NBSP}%"
    form = {"ratio": ratio, "count": count, "figure": figure}[show]
    return f"{form(estimate.low)} to {form(estimate.high)}"


def plain(text: object, longest: int = 80) -> str:
    """Data-derived text fit to be shown: printable, not endless, no card number. Escaping is the template's."""
    shown = "".join(sign if sign.isprintable() else " " for sign in str(text)).strip()
    if contains_card_number(shown):
        return WITHHELD
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def plural(number: float, one: str, many: str = "") -> str:
    """ "1 fraud", "2 frauds"."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def policy(terms: Policy, currency: str) -> str:
    """What the user asked for, as a phrase."""
    value = terms.value
    if terms.name == "max-cost":
        missed = "its amount" if terms.missed_fraud is None else money(terms.missed_fraud, currency)
        return f"lowest cost, with {money(value, currency)} a review and {missed} a missed fraud"
    return {
        "alert-rate": f"alert on {whole_percent(value)} of legitimate transactions",
        "alerts-per-day": f"{figure(value)} alerts a day on legitimate traffic of the training period's volume",
        "min-precision": f"at least {whole_percent(value)} of alerts are fraud",
        "min-recall": f"at least {whole_percent(value)} of fraud is alerted",
    }[terms.name]


def money(value: float, currency: str, *, exact: bool = False) -> str:
    """An amount in its currency; whole numbers from 1,000 on, but for ``exact``, the amount of one payment."""
    shown = f"{value:,.0f}" if abs(value) >= 1_000 and not exact else f"{value:,.2f}"
    return f"{shown}{NBSP}{plain(currency)}" if currency else shown
