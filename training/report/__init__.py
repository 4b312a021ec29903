"""report.html: what a version was trained on and how well it works, in one self-contained file."""

from training.report.page import render_report
from training.report.part import ScoredPart

__all__ = ["ScoredPart", "render_report"]
