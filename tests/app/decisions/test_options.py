"""Options of the command line, and what they are told where they are wrong."""

from __future__ import annotations

import pytest

from app.decisions.options import moment_of
from models.errors import InvalidInput


def test_a_moment_that_is_none_names_its_option() -> None:
    assert moment_of("2026-01-31T08:15:00Z", "--since") == 1_769_847_300_000_000
    with pytest.raises(InvalidInput, match=r"^--before: expected a time"):
        moment_of("yesterday", "--before")
