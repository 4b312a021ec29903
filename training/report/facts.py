"""The tables of facts: what the version was trained on, what it is, and the metrics a data scientist asks for."""

from __future__ import annotations

from models.manifest import RANKED_WORDS, Manifest, Part
from training.report import format
from training.report.bootstrap import Estimate, mean_of_days
from training.report.clock import Clock
from training.report.clock import recorded as moment
from training.report.detection import Detection

#: A term and what is said of it.
Fact = tuple[str, str]
#: A metric, its value, its interval, what it means.
MetricRow = tuple[str, str, str, str]


def training(manifest: Manifest) -> list[Fact]:
    """The data: period and rows of each part, what was left out and why, how to recognise the data again."""
    record = manifest.training
    facts = [
        ("All rows read", format.count(record.rows)),
        ("Training part", _part(record.train)),
        (
            "Calibration part",
            f"{_part(record.calibration)}; {format.count(manifest.calibration.rows)} legitimate rows used",
        ),
        ("Test part", _part(record.test)),
    ]
    for reason, rows in record.left_out.items():
        facts.append((f"Left out: {format.plain(reason)}", format.plural(rows, "row")))
    return [
        *facts,
        ("Label delay", f"{record.label_delay}: a transaction's label counts as known only so long after it"),
        (
            "Profile",
            f"{manifest.transaction_schema.name}, "
            f"{format.plural(len(manifest.transaction_schema.features), 'feature')}",
        ),
        ("Seed", str(record.seed)),
        ("Fingerprint of the data (SHA-256)", record.fingerprint),
    ]


def version(manifest: Manifest) -> list[Fact]:
    """The network and the threshold."""
    shape, threshold = manifest.architecture, manifest.threshold
    currency = manifest.transaction_schema.currency
    layers = " – ".join(
        str(width) for width in (shape.inputs, *shape.hidden, shape.code_size, *reversed(shape.hidden), shape.inputs)
    )
    decline = []
    if threshold.decline is not None and threshold.decline_policy is not None:
        policy = format.policy(threshold.decline_policy, currency)
        decline = [("Decline threshold", f"score {format.score(threshold.decline)}: {policy}")]
    second = []
    if (labels := manifest.second_opinion) is not None:
        share = f"; {labels.novel_share:.0%} of the alerts are for what is novel" if labels.used else ""
        second = [("Second opinion, from labels", f"{'used' if labels.used else 'refused'}: {labels.why}{share}")]
    return [
        ("Model version", manifest.version),
        ("Trained", moment(manifest.created_at)),
        (
            "Threshold",
            f"score {format.score(threshold.score)}, "
            f"{RANKED_WORDS[manifest.ranked_by]} {format.figure(threshold.error)}",
        ),
        ("Chosen by", f"{format.policy(threshold.policy, currency)}, on the calibration part"),
        *decline,
        ("Network", f"{shape.architecture} autoencoder, {layers}, {format.plural(shape.members, 'member')}"),
        ("Code", f"{format.plural(shape.code_size, 'number')} for {format.plural(shape.inputs, 'input')}"),
        (
            "Error",
            f"{shape.error}; {format.count(shape.parameters)} parameters; {format.count(shape.steps)} steps",
        ),
        *second,
        ("Training noise", f"{shape.noise:g} standard deviations"),
        ("Libraries", ", ".join(f"{name} {release}" for name, release in sorted(manifest.libraries.items()))),
    ]


def evaluated(found: Detection, clock: Clock) -> list[Fact]:
    """The rows this page is about."""
    labelled = f"{format.plural(found.fraud, 'fraud')}, {format.count(found.legitimate)} legitimate"
    if found.known < found.rows:
        labelled += f", {format.count(found.rows - found.known)} without a known label"
    period = clock.period()
    return [
        *([("Period", period)] if period else []),
        (
            "Rows",
            f"{format.count(found.rows)}: {labelled}" if found.labelled else f"{format.count(found.rows)}, no labels",
        ),
    ]


def metrics(found: Detection) -> list[MetricRow]:
    """Every metric there is, with its interval."""
    rows: list[tuple[str, Estimate | None, str, str]] = [
        (
            "ROC AUC",
            found.roc_auc,
            "ratio",
            "how often a fraud scores higher than a legitimate transaction; 0.5 is random",
        ),
        (
            "Average precision",
            found.average_precision,
            "ratio",
            "precision averaged over recall; random order gives the prevalence",
        ),
        ("Prevalence", found.prevalence, "percent", "share of fraud among transactions with a known label"),
        ("Recall", found.recall, "percent", "share of fraud alerted at the threshold"),
        ("Precision", found.precision, "percent", "share of alerts with a known label that are fraud"),
        ("Alert rate", found.alert_rate, "percent", "share of all transactions alerted"),
        (
            "Alert rate, legitimate",
            found.legitimate_rate,
            "percent",
            "share of legitimate transactions alerted",
        ),
    ]
    if found.cards:
        days, k = format.plural(len(found.cards.daily), "day"), found.cards.k
        what = (
            f"compromised {found.entity} values among the {k} of highest score, divided by {k}, "
            f"averaged over {days}; those found drop out. Perfect order would reach {format.ratio(found.cards.ceiling)}"
        )
        rows.append(
            (
                f"Card precision@{k}",
                mean_of_days(found.cards.daily),
                "ratio",
                format.plain(what, 400),
            )
        )
    return [
        (
            name,
            (format.ratio if show == "ratio" else format.percent)(estimate.value),
            format.interval(estimate, show),
            what,
        )
        for name, estimate, show, what in rows
        if estimate is not None
    ]


def _part(part: Part) -> str:
    if not part.rows:
        return "none"
    fraud = f", of these {format.count(part.fraud)} fraud" if part.fraud else ""
    unknown = f", {format.count(part.unlabelled)} without a known label" if part.unlabelled else ""
    period = f"; {moment(part.start)} to {moment(part.end)}" if part.start and part.end else ""
    return f"{format.plural(part.rows, 'row')}{fraud}{unknown}{period}"
