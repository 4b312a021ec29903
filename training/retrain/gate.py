"""Whether a challenger may take the active version's place, and in words why, or why not."""

from __future__ import annotations

from dataclasses import dataclass

from models.challenge import ENOUGH, evidence
from training.report.format import plural
from training.retrain.compare import Comparison


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        passed: the challenger finds more fraud at the same alerts a day.
        why: one or two sentences.
    """

    passed: bool
    why: str


def judge(found: Comparison) -> Verdict:
    """Judge a comparison. Looking daily is safe: see :mod:`models.challenge`."""
    count = found.won + found.lost
    if not found.fraud:
        return Verdict(False, "There is no labelled fraud among the compared rows, so nothing says which is better.")
    if not count:
        return Verdict(
            False,
            f"Of {plural(found.fraud, 'labelled fraud')} among the compared rows there is none on which the two "
            "disagree, so nothing says which is better.",
        )
    told = (
        f"The two disagree on labelled fraud of {plural(count, found.unit)}: the challenger alone caught it on "
        f"{found.won}, the active version alone on {found.lost}. The evidence for the challenger is "
        f"{_shown(found.evidence)}; {ENOUGH:.0f} is needed."
    )
    if found.evidence >= ENOUGH:
        return Verdict(True, told)
    if float(evidence(found.lost, found.won)) >= ENOUGH:
        return Verdict(False, f"{told} The active version is the better one.")
    return Verdict(False, f"{told} Neither is shown to be better: compare them again when more labels are in.")


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
