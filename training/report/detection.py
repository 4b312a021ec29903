"""What the version catches in a part, and at which cost: the figures that need labels or the threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.rows import FRAUD, LEGITIMATE, UNKNOWN
from models.schema import TransactionSchema
from models.thresholds import Threshold
from training.evaluate import CardPrecision, card_precision
from training.ranking import Ranking
from training.report.bootstrap import Bootstrap, Estimate
from training.report.clock import Clock
from training.report.cost import CostTerms
from training.report.grouping import amounts, bootstrap_units, codes, scenarios
from training.report.part import ScoredPart


@dataclass(frozen=True)
class Scenario:
    """One fraud scenario: its fraud rows, those alerted, and the recall."""

    name: str
    fraud: int
    caught: int
    recall: Estimate


@dataclass(frozen=True)
class Alternative:
    """Another threshold: its volume of alerts per unit, recall and precision (None without fraud or alerts)."""

    threshold: float
    volume: Estimate
    recall: Estimate | None
    precision: Estimate | None


@dataclass(frozen=True)
class Detection:
    """Figures at the threshold, and over all thresholds.

    Attributes:
        rows, known: transactions, and those with a label.
        labelled: whether any row has a label.
        fraud, caught: fraud rows, and those with score >= threshold.
        alerts, alerts_known: rows with score >= threshold; of those, with a label.
        each: how many transactions of the data one row stands for; above 1 where the rows were drawn.
        unit, units: what volumes are counted per, ``day`` or ``1,000 transactions``, and how many of it the part has;
            of days so many fewer as its rows stand for more.
        volume: alerts per unit.
        alert_rate: alerts / rows; ``legitimate_rate``: the same of legitimate rows.
        prevalence, recall, precision: shares; None where their whole is empty.
        roc_auc, average_precision: None where a class is missing.
        amount, amount_caught: summed amount of fraud rows; None without amounts.
        amount_share: amount_caught / amount.
        cost: of reviews and missed fraud, per unit; None without terms.
        alternatives: with a quarter, half, twice and four times the alerts.
        scenarios: most frequent first; the rarest beyond twenty are summed up in the last.
        cards: card precision@100, or None, also of drawn rows; ``entity`` names the column that is the card, if any.
        drawn: what the bootstrap draws, in words; ``resamples``: how often.
    """

    rows: int
    known: int
    labelled: bool
    fraud: int
    caught: int
    alerts: int
    alerts_known: int
    each: float
    unit: str
    units: float
    volume: Estimate
    alert_rate: Estimate
    legitimate: int
    legitimate_rate: Estimate | None
    prevalence: Estimate | None
    recall: Estimate | None
    precision: Estimate | None
    roc_auc: Estimate | None
    average_precision: Estimate | None
    amount: float | None
    amount_caught: float
    amount_share: Estimate | None
    cost: Estimate | None
    alternatives: tuple[Alternative, ...]
    scenarios: tuple[Scenario, ...]
    cards: CardPrecision | None
    entity: str | None
    drawn: str
    resamples: int


def detect(
    schema: TransactionSchema, threshold: Threshold, terms: CostTerms | None, part: ScoredPart, clock: Clock
) -> Detection:
    """Measure a part with at least one row."""
    label, score = part.history.label, part.scores.score
    alert, fraud, known = threshold.is_anomaly(score), label == FRAUD, label != UNKNOWN
    legitimate = label == LEGITIMATE
    lost = amounts(schema, part)
    entity = next(iter(schema.entities), None)
    card = codes(part.history.entity[entity]) if entity else None
    unit, drawn = bootstrap_units(card, entity, len(part))
    scenario = scenarios(part.history.scenario, fraud)
    columns: dict[str, NDArray[np.generic]] = {
        "rows": np.ones(len(part)),
        "known": known,
        "alerts": alert,
        "alerts known": alert & known,
        "fraud": fraud,
        "caught": fraud & alert,
        "legitimate": legitimate,
        "false": legitimate & alert,
    }
    if lost is not None:
        columns |= {"amount": np.where(fraud, lost, 0), "amount caught": np.where(fraud & alert, lost, 0)}
    others = _other_thresholds(score, int(alert.sum()))
    for number, other in enumerate(others):
        above = score >= other
        columns |= {
            f"alerts {number}": above,
            f"known {number}": above & known,
            f"caught {number}": above & fraud,
        }
    for name, rows in scenario.items():
        columns |= {f"scenario {name}": rows, f"alerted {name}": rows & alert}
    both = bool(fraud.any() and legitimate.any())
    sample = Bootstrap(columns, unit, Ranking(score[known], fraud[known], unit[known]) if both else None)
    ranks = sample.ranking()
    rate = sample.share("alerts", "rows") or Estimate(0.0)
    each = part.history.each
    units = len(part) / 1_000 if clock.days is None else clock.days / each

    def volume(alerts: str) -> Estimate:
        if clock.days and sample[alerts]:
            return sample.total({alerts: 1 / units})
        return (sample.share(alerts, "rows") or Estimate(0.0)).map(lambda share: share * len(part) / units)

    return Detection(
        rows=len(part),
        known=int(known.sum()),
        labelled=bool(known.any()),
        fraud=int(fraud.sum()),
        caught=int((fraud & alert).sum()),
        alerts=int(alert.sum()),
        alerts_known=int((alert & known).sum()),
        each=each,
        unit="1,000 transactions" if clock.days is None else "day",
        units=units,
        volume=volume("alerts"),
        alert_rate=rate,
        legitimate=int(legitimate.sum()),
        legitimate_rate=sample.share("false", "legitimate"),
        prevalence=sample.share("fraud", "known"),
        recall=sample.share("caught", "fraud"),
        precision=sample.share("caught", "alerts known") if fraud.any() else None,
        roc_auc=ranks[0] if ranks else None,
        average_precision=ranks[1] if ranks else None,
        amount=None if lost is None else sample["amount"],
        amount_caught=0.0 if lost is None else sample["amount caught"],
        amount_share=None if lost is None or sample["amount"] <= 0 else sample.share("amount caught", "amount"),
        cost=None
        if terms is None or not fraud.any()
        else sample.total({n: w / units for n, w in terms.weights().items()}),
        alternatives=tuple(
            Alternative(
                float(other),
                volume(f"alerts {number}"),
                sample.share(f"caught {number}", "fraud"),
                sample.share(f"caught {number}", f"known {number}") if fraud.any() else None,
            )
            for number, other in enumerate(others)
        ),
        scenarios=_recalls(scenario, sample),
        cards=card_precision(score[known], fraud[known], card[known], clock.day[known])
        if card is not None and clock.exists and both and each == 1  # a sample lacks most payments of a card
        else None,
        entity=entity,
        drawn=drawn,
        resamples=sample.resamples,
    )


def _other_thresholds(score: NDArray[np.float64], alerts: int) -> list[float]:
    """Scores with about a quarter, half, twice and four times as many alerts, where there are such."""
    ordered = np.sort(score)[::-1]
    wanted = {round(max(alerts, 4) * factor) for factor in (0.25, 0.5, 2, 4)}
    return sorted({float(ordered[number - 1]) for number in wanted if 0 < number <= len(score) // 2}, reverse=True)


def _recalls(scenario: Mapping[str, NDArray[np.bool_]], sample: Bootstrap) -> tuple[Scenario, ...]:
    return tuple(
        Scenario(name, int(sample[f"scenario {name}"]), int(sample[f"alerted {name}"]), recall)
        for name in scenario
        if (recall := sample.share(f"alerted {name}", f"scenario {name}"))
    )
