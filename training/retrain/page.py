"""What a retraining would change, as a page to read and as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from models.challenge import ENOUGH
from models.thresholds import DECISIONS
from training.report.bootstrap import LEVEL
from training.report.format import whole_percent
from training.report.pages import environment
from training.retrain.compare import Comparison
from training.retrain.gate import Verdict
from training.retrain.rows import Gathered

_TEMPLATES = Path(__file__).parent / "templates"


def as_page(found: Comparison, verdict: Verdict, gathered: Gathered) -> bytes:
    """HTML; nothing is loaded from elsewhere. The same arguments give the same bytes."""
    page = environment(_TEMPLATES).get_template("flips.html.j2")
    return page.render(
        found=found,
        verdict=verdict,
        gathered=gathered,
        words=DECISIONS,
        shown=sum(
            any(line) or any(column)
            for line, column in zip(found.decisions, zip(*found.decisions, strict=True), strict=True)
        ),
        level=whole_percent(LEVEL),
        enough=ENOUGH,
    ).encode()


def as_json(found: Comparison, verdict: Verdict, gathered: Gathered) -> bytes:
    """One JSON object: the comparison, the verdict, and where the rows are from."""
    told = {
        "verdict": asdict(verdict),
        "rows": {"from_files": gathered.from_files, "from_log": gathered.from_log, **gathered.counts},
        "comparison": asdict(found),
    }
    return json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"
