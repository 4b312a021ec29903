"""HTML pages from templates: escaped, strict, with the same words for figures everywhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.report import format

_TEMPLATES = Path(__file__).parent / "templates"
_FILTERS = ("count", "figure", "percent", "whole_percent", "ratio", "score", "one_in", "plain", "interval")


@cache
def environment(*folders: Path) -> Environment:
    """Templates of these folders, then of the report's own; each is compiled once a process."""
    made = Environment(
        loader=FileSystemLoader([*folders, _TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update({name: getattr(format, name) for name in _FILTERS})
    return made
