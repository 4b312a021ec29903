"""The kernel, which all these tests run."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session", autouse=True)
def compiled_kernel(kernel: None) -> None:
    """Compiled once, before the first of them."""
