"""docs/rules.md: rules written, tried and put in force, lists changed, every command as printed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import polars as pl

from tests.app.traffic import Payments
from tests.test_docs import ADDRESS, ROOT, assert_same, run, server, sessions
from training.simulate import write

SERVE = "counterfoil serve &"


def split(pairs: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The commands before the service is started, and those after."""
    place = [command for command, _ in pairs].index(SERVE)
    return pairs[:place], pairs[place + 1 :]


def test_rules_and_lists_do_as_printed(payments: Payments, tmp_path: Path) -> None:
    """With the suite's small model: that of a fresh start takes longer to train than all of this."""
    shutil.copytree(payments.artifacts, tmp_path / "artifacts")
    write(payments.frame.head(1_500).with_columns(fraud_scenario=pl.lit("")), tmp_path / "later.csv")
    text = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    (rules,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    (recorded, *before), served = split(sessions(text))
    assert_same(recorded[1], run(recorded[0], tmp_path), recorded[0])
    (tmp_path / "rules.toml").write_text(rules, encoding="utf-8")
    for command, printed in before:
        assert_same(printed, run(command, tmp_path), command)
    with server(tmp_path) as address:
        for command, printed in served:
            assert_same(printed, run(command.replace(ADDRESS, address), tmp_path), command)
