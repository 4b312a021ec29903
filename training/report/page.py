"""The page: figures, tables and charts put into the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.manifest import RANKED_WORDS
from models.rows import FRAUD, LEGITIMATE
from models.scorer import Scorer
from training.report import charts, charts_choice, charts_trust, drift, facts, format, headline
from training.report.alerts import look_at_alerts
from training.report.bootstrap import LEVEL
from training.report.canvas import look
from training.report.charts import Chart
from training.report.clock import Clock, recorded
from training.report.cost import CostCurve, CostTerms
from training.report.curves import Curve
from training.report.detection import Detection, detect
from training.report.grouping import amounts
from training.report.pages import environment
from training.report.part import ScoredPart
from training.report.trust import Trust, check

if TYPE_CHECKING:
    from training.drill import Unshown
    from training.optimise import FitProgress


@dataclass(frozen=True)
class _Charts:
    """The charts by section; empty where there is nothing to draw."""

    choice: list[Chart]
    trust: list[Chart]
    detection: list[Chart]
    loss: list[Chart]


def render_report(
    scorer: Scorer,
    part: ScoredPart,
    *,
    loss: tuple[FitProgress, ...] | None,
    drilled: tuple[Unshown, ...] = (),
) -> bytes:
    """The report as HTML. The same arguments give the same bytes.

    Args:
        scorer: the version.
        part: the test part, or any data evaluated later, with or without labels; at least one row.
        loss: the course of training; None where the page is about data evaluated later.
        drilled: what is found of scenarios whose labels were never shown; empty where that was not tried.
    """
    manifest = scorer.manifest
    schema, threshold = scorer.schema, manifest.threshold
    clock = Clock(schema, part.history.time)
    terms = CostTerms.of(schema, threshold)
    found = detect(schema, threshold, terms, part, clock)
    trust = check(threshold, part, clock, found.legitimate_rate, found.alert_rate)
    own = loss is not None
    where = ("the test period" if clock.exists else "the test part") if own else "these data"
    page = (
        environment()
        .get_template("report.html.j2")
        .render(
            manifest=manifest,
            trained=recorded(manifest.created_at),
            own=own,
            where=where,
            headline=headline.sentence(found, threshold.score, where),
            tiles=headline.tiles(found, terms, schema.currency),
            prevalence=headline.prevalence(found),
            found=found,
            drilled=drilled,
            threshold=threshold,
            terms=terms,
            currency=format.plain(schema.currency),
            money=format.money,
            trust=trust,
            drift=drift.look(scorer, part),
            alerts=look_at_alerts(scorer, part, clock),
            evaluated=facts.evaluated(found, clock),
            metrics=facts.metrics(found),
            training=facts.training(manifest),
            version=facts.version(manifest),
            charts=_draw(scorer, part, found, trust, terms, loss or ()),
            level=format.whole_percent(LEVEL),
        )
    )
    return page.encode()


def _draw(
    scorer: Scorer,
    part: ScoredPart,
    found: Detection,
    trust: Trust | None,
    terms: CostTerms | None,
    loss: Sequence[FitProgress],
) -> _Charts:
    threshold = scorer.manifest.threshold
    label = part.history.label
    curve = Curve.of(part.scores.score, label == FRAUD, label == LEGITIMATE, amounts(scorer.schema, part))
    both = bool(found.fraud and found.legitimate)
    with look():
        choice = [charts_choice.workload(curve, found)] if found.fraud else []
        if terms and found.cost:
            costs = CostCurve.of(terms, curve, found.fraud, found.amount or 0.0, found.units)
            choice.append(charts_choice.cost(costs, threshold, found.unit, found.cost.value))
        checks = []
        if trust:
            checks = [
                charts_trust.alert_rates(trust, threshold, scorer.manifest.calibration),
                charts_trust.quantiles(trust),
            ]
            if trust.stability and len(trust.stability.rows) > 1:
                checks.append(charts_trust.rate_by_period(trust.stability, threshold))
                checks.append(charts_trust.score_by_period(trust.stability))
        what = RANKED_WORDS[scorer.manifest.ranked_by]
        detection = [charts.errors(part, threshold, scorer.manifest.calibration, found, what)]
        if both:
            detection += [charts.precision_recall(curve, found), charts.roc(curve, found)]
        return _Charts(choice, checks, detection, [charts.loss(loss)] if loss else [])
