"""A new threshold for an existing version, without retraining: the same network, published as a new version."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from pathlib import Path

from models.bundle import load_bundle, read_states
from models.manifest import DETECTOR, GOLDEN, REPORT, STATES, Manifest, sha256, version_name
from models.registry import Registry
from models.threshold_choice import choose_threshold, known_cases
from models.thresholds import Policy


def rethreshold(
    folder: Path, registry: Registry, policy: Policy | None, *, decline: Policy | None = None
) -> tuple[Manifest, Path]:
    """Apply a policy to a version's own calibration and publish the result; activating it is the caller's decision.

    Args:
        folder: the existing version.
        registry: where to publish.
        policy, decline: None keeps the version's own; a version without a decline threshold stays without.

    Raises:
        InvalidBundle: the version is damaged.
        InvalidInput: the policy needs labels or times that the version was trained without.
    """
    bundle = load_bundle(folder)
    old = bundle.manifest
    threshold = choose_threshold(
        policy or old.threshold.policy,
        old.calibration,
        legitimate=old.calibration.errors(),
        **known_cases(old.policy_inputs),
        decline=decline or old.threshold.decline_policy,
    )
    unmeasured = dict.fromkeys(("alert_rate", "alert_rate_legitimate", "precision", "recall"))
    now = datetime.now(UTC)
    files = {
        DETECTOR: bundle.detector,
        GOLDEN: (folder / GOLDEN).read_bytes(),
        REPORT: _with_notice((folder / REPORT).read_bytes(), old.version, threshold.score),
    }
    states = read_states(folder)
    if states is not None:
        files[STATES] = states
    manifest = old.model_copy(
        update={
            "version": version_name(now, bundle.detector, threshold),
            "created_at": now.isoformat(timespec="seconds"),
            "threshold": threshold,
            "metrics": old.metrics.model_copy(update={**unmeasured, "threshold": threshold.score}),
            "files": {name: sha256(data) for name, data in files.items()},
        }
    )
    return manifest, registry.publish(manifest, files)


def _with_notice(report: bytes, version: str, score: float) -> bytes:
    notice = (
        f'<p style="border:2px solid #d55e00;padding:1em;font-weight:bold">The threshold of this version is '
        f"{score:.6f}, derived anew without retraining. The report below is that of version {escape(version)}: what it "
        "says of alerts, precision and recall holds for the former threshold.</p>"
    ).encode()
    head, body, rest = report.partition(b"<body>")
    return head + body + notice + rest if body else notice + report
