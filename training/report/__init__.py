"""report.html: what a version was trained on and how well it works, in one self-contained file."""

from training.report.fonts import load_matplotlib

load_matplotlib()

from training.report.page import render_report  # noqa: E402 - draws with it
from training.report.part import ScoredPart  # noqa: E402

__all__ = ["ScoredPart", "render_report"]
