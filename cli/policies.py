"""Options that say how to choose a threshold, checked and made a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import InvalidInput

if TYPE_CHECKING:
    from models.thresholds import Policy

DEFAULT_ALERT_RATE = 0.005
MOST_MONEY = 1e12  # of a cost or a count in a policy


def chosen_policy(
    alert_rate: float | None,
    alerts_per_day: float | None,
    min_precision: float | None,
    min_recall: float | None,
    max_cost: float | None,
    missed_fraud: float | None,
    prefix: str = "",
) -> Policy | None:
    """The one policy that was given, or None.

    Raises:
        InvalidInput: several, or a value out of range.
    """
    from models.thresholds import Policy

    if missed_fraud is not None and (max_cost is None or not 0 < missed_fraud <= MOST_MONEY):
        raise InvalidInput(f"--missed-fraud: goes with --max-cost; a number above 0 and at most {MOST_MONEY:g}")
    given = {
        "alert-rate": alert_rate,
        "alerts-per-day": alerts_per_day,
        "min-precision": min_precision,
        "min-recall": min_recall,
        "max-cost": max_cost,
    }
    chosen = [(name, value) for name, value in given.items() if value is not None]
    if not chosen:
        return None
    (name, value), *others = chosen
    if others:
        raise InvalidInput(f"--{prefix}{name} and --{prefix}{others[0][0]}: give one policy, not several")
    _require_range(prefix + name, value)
    return Policy.model_validate({"name": name, "value": value, "missed_fraud": missed_fraud})


def decline_policy(alert_rate: float | None, min_precision: float | None) -> Policy | None:
    """The same for the second threshold, from where on to decline."""
    return chosen_policy(alert_rate, None, min_precision, None, None, None, prefix="decline-")


def _require_range(name: str, value: float) -> None:
    if name.removeprefix("decline-") in ("alert-rate", "min-precision", "min-recall") and not 0 < value < 1:
        raise InvalidInput(f"--{name}: expected a share above 0 and below 1, e.g. 0.005")
    if not 0 < value <= MOST_MONEY:
        raise InvalidInput(f"--{name}: expected a number above 0 and at most {MOST_MONEY:g}")
