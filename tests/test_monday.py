"""docs/monday.md: from a fresh start to a better model and back, every command as printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_docs import ADDRESS, ROOT, assert_same, run, server, sessions

SERVE = "counterfoil serve &"


@pytest.mark.early
def test_a_monday_goes_as_printed(kernel: None, tmp_path: Path) -> None:
    pairs = sessions((ROOT / "docs" / "monday.md").read_text(encoding="utf-8"))
    serve = [command for command, _ in pairs].index(SERVE)
    for command, printed in pairs[:serve]:
        assert_same(printed, run(command, tmp_path), command)
    with server(tmp_path) as address:
        for command, printed in pairs[serve + 1 :]:
            assert_same(printed, run(command.replace(ADDRESS, address), tmp_path), command)
    assert (tmp_path / "flips.html").stat().st_size > 10_000
