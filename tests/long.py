"""Long forms of tests that have a short one: ``python -m pytest -p tests.long --long tests/app/test_crash.py -s``."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Read with ``config.getoption("--long", default=False)``, so that tests run without this plugin, too."""
    parser.addoption("--long", action="store_true", help="run long forms: 200,000 transactions, 50 kills; minutes")
